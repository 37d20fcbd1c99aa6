import { useEffect, useRef, useState } from "preact/hooks";
import {
  type Columns,
  type Directory,
  type FileSummary,
  type Report,
  type Rows,
  type Session,
  type Usage,
  columns,
  directories,
  files,
  rows,
  said,
  verify,
} from "./api";
import { bytes, grouped } from "./figures";

/** Rows that are shown of the table. */
const ROWS = 20;

/** What an answer says once it is here; asked again when `turn` changes. */
export function useAnswer<T>(ask: () => Promise<T>, turn: unknown) {
  const [answer, setAnswer] = useState<T | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let isWanted = true;
    ask().then(
      (told) => isWanted && (setAnswer(told), setProblem("")),
      (error) => isWanted && setProblem(said(error)),
    );
    return () => void (isWanted = false);
  }, [turn]);
  return { answer, problem };
}

export const Problem = ({ problem }: { problem: string }) => (problem ? <p role="alert" class="trouble">{problem}</p> : null);

export function TablePage({ who }: { who: Session }) {
  const [turn, setTurn] = useState(0);
  const { answer: usage, problem } = useAnswer(() => directories(""), turn);
  return (
    <>
      <h2>Table</h2>
      <Problem problem={problem} />
      {usage && (
        <p role="status">
          {grouped(usage.total.files)} files in {grouped(usage.total.hive_partitions)} hive partitions, {bytes(usage.total.bytes)}, in <code>{usage.location}</code>
        </p>
      )}
      <button onClick={() => setTurn(turn + 1)}>Look again</button>
      {usage && <Tree key={turn} usage={usage} />}
      <ColumnsPart turn={turn} />
      {who.roles.includes("payloads") ? (
        <RowsPart turn={turn} />
      ) : (
        <p class="quiet">Rows are shown to tokens with the role payloads.</p>
      )}
      <Verify />
    </>
  );
}

function Tree({ usage }: { usage: Usage }) {
  return (
    <section aria-labelledby="tree">
      <h3 id="tree">Hive partitions</h3>
      {usage.directories.length === 0 ? (
        <p class="quiet">None yet: the first comes with the first checkpoint.</p>
      ) : (
        <ul class="tree">
          {usage.directories.map((directory) => <Branch key={directory.path} directory={directory} />)}
        </ul>
      )}
    </section>
  );
}

/** A directory, whose content is asked for when it is opened. */
function Branch({ directory }: { directory: Directory }) {
  const [isOpen, setOpen] = useState(false);
  const name = directory.path.slice(directory.path.lastIndexOf("/") + 1);
  return (
    <li>
      <button class="branch" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>{name}</button>
      <span class="quiet"> {grouped(directory.files)} files, {bytes(directory.bytes)}</span>
      {isOpen && <Content path={directory.path} depth={directory.depth} />}
    </li>
  );
}

function Content({ path, depth }: { path: string; depth: number }) {
  const ask = async () => {
    const below = (await directories(path, depth + 1)).directories.filter((one) => one.depth === depth + 1);
    return below.length > 0 ? { below, files: [] } : { below, files: await files(path) };
  };
  const { answer, problem } = useAnswer(ask, path);
  if (!answer) return problem ? <Problem problem={problem} /> : <p class="quiet">…</p>;
  if (answer.below.length > 0) {
    return <ul class="tree">{answer.below.map((one) => <Branch key={one.path} directory={one} />)}</ul>;
  }
  return <Files path={path} files={answer.files} />;
}

function Files({ path, files }: { path: string; files: FileSummary[] }) {
  return (
    <div class="wide" tabIndex={0} role="region" aria-label={`Files in ${path}`}>
      <table>
        <thead>
          <tr><th scope="col">File</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Bytes</th><th scope="col">Written</th></tr>
        </thead>
        <tbody>
          {files.map((file) => (
            <tr key={file.path}>
              <th scope="row">{file.path.slice(file.path.lastIndexOf("/") + 1)}</th>
              <td class="number">{file.rows === null ? "not readable" : grouped(file.rows)}</td>
              <td class="number">{bytes(file.bytes)}</td>
              <td>{file.modified.slice(0, 19).replace("T", " ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ColumnsPart({ turn }: { turn: number }) {
  const { answer, problem } = useAnswer<Columns>(columns, turn);
  return (
    <section aria-labelledby="columns">
      <h3 id="columns">Columns</h3>
      <Problem problem={problem} />
      {answer && answer.columns.length === 0 && <p class="quiet">No file says any yet.</p>}
      {answer && answer.columns.length > 0 && (
        <>
          <p class="quiet">As {grouped(answer.files_read)} of {grouped(answer.files)} files have them, the newest.</p>
          {answer.differences.map(({ what, files }) => <p class="trouble" key={what}>{what} ({grouped(files)} files)</p>)}
          <div class="wide" tabIndex={0} role="region" aria-labelledby="columns">
            <table>
              <thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col">Null</th><th scope="col">In Parquet</th></tr></thead>
              <tbody>
                {answer.columns.map((column) => (
                  <tr key={column.name}>
                    <th scope="row">{column.name}</th>
                    <td>{column.type}</td>
                    <td>{column.nullable ? "may be" : "never"}</td>
                    <td>{column.hive_partition ? "in the path" : column.parquet}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}

function RowsPart({ turn }: { turn: number }) {
  const { answer, problem } = useAnswer<Rows>(() => rows(ROWS), turn);
  const shown = (value: unknown) => (value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  return (
    <section aria-labelledby="rows">
      <h3 id="rows">The first rows</h3>
      <Problem problem={problem} />
      {answer && answer.rows.length === 0 && <p class="quiet">None yet.</p>}
      {answer && answer.rows.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-labelledby="rows">
          <table>
            <thead><tr>{answer.columns.map((name) => <th scope="col" key={name}>{name}</th>)}</tr></thead>
            <tbody>
              {answer.rows.map((row, index) => <tr key={index}>{row.map((value, at) => <td key={at}>{shown(value)}</td>)}</tr>)}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** Whether the table is what its checkpoints say. */
function Verify() {
  const [report, setReport] = useState<Report | null>(null);
  const [told, setTold] = useState("");
  const stop = useRef<(() => void) | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [progress, setProgress] = useState<{ position: number; length: number | null }>({ position: 0, length: null });
  useEffect(() => () => stop.current?.(), []);
  const go = () => {
    setBusy(true);
    setReport(null);
    setTold("Beginning");
    const end = (words: string) => {
      setTold(words);
      setBusy(false);
    };
    stop.current = verify({
      onProgress: ({ message, position, length }) => {
        setTold(message || "Looking");
        setProgress({ position, length });
      },
      onReport: (done) => {
        setReport(done);
        end(done.clean ? "All is as the checkpoints say." : `${done.findings.length} findings.`);
      },
      onFailed: (words) => end(`Not done: ${words}`),
    });
  };
  return (
    <section aria-labelledby="verify">
      <h3 id="verify">Verify</h3>
      <p class="quiet">Looks whether each message is in the table, filtered or a dead letter, once. Nothing is changed.</p>
      <button onClick={go} disabled={isBusy}>Verify</button>
      {isBusy && <progress aria-label="How far it is" value={progress.length ? progress.position : undefined} max={progress.length ?? 1} />}
      <p role="status">{told}</p>
      {report && <Reported report={report} />}
    </section>
  );
}

function Reported({ report }: { report: Report }) {
  const { rows } = report.total;
  return (
    <>
      {report.findings.map((finding) => (
        <p class="trouble" key={finding.code + finding.path + finding.message}>
          <strong>{finding.code}</strong> {finding.topic_partition} {finding.path} {finding.message}
        </p>
      ))}
      <p>
        {grouped(rows.messages)} messages: {grouped(rows.written)} rows written, {grouped(rows.filtered)} filtered,{" "}
        {grouped(rows.dead_lettered)} dead letters; {grouped(report.total.records)} records, {grouped(report.total.files)} files.
      </p>
      <div class="wide" tabIndex={0} role="region" aria-label="Checkpoints">
        <table>
          <thead>
            <tr>
              <th scope="col">Topic partition</th><th scope="col">Offsets</th><th scope="col" class="number">Records</th>
              <th scope="col" class="number">Files</th><th scope="col">Last record</th>
            </tr>
          </thead>
          <tbody>
            {report.topic_partitions.map((one) => (
              <tr key={`${one.topic}/${one.topic_partition}`}>
                <th scope="row">{one.topic}/{one.topic_partition}</th>
                <td>{one.covered.map(({ start, next }) => `${grouped(start)} to ${grouped(next - 1)}`).join(", ") || "none"}</td>
                <td class="number">{grouped(one.records)}</td>
                <td class="number">{grouped(one.files)}</td>
                <td>{one.written_at?.slice(0, 19).replace("T", " ") ?? "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="wide" tabIndex={0} role="region" aria-label="Deployments">
        <table>
          <thead><tr><th scope="col">Deployment</th><th scope="col">Transforms</th><th scope="col" class="number">Messages</th><th scope="col" class="number">Rows</th></tr></thead>
          <tbody>
            {report.deployments.map((one) => (
              <tr key={one.deployment}>
                <th scope="row">{one.deployment === 0 ? "pipeline file" : one.deployment}</th>
                <td>{one.transforms.map(({ name, version }) => `${name}@${version}`).join(", ") || "none"}</td>
                <td class="number">{grouped(one.rows.messages)}</td>
                <td class="number">{grouped(one.rows.written)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

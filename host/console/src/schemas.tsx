import { useEffect, useState } from "preact/hooks";
import { said } from "./api";
import { type SchemaVersion, type Subjects, schemaVersion, schemaVersions, subjects } from "./cluster";
import { difference } from "./difference";
import { grouped } from "./figures";

/** Subjects that are listed at once; the filter finds the others. */
const LISTED = 200;
const SIGNS = { both: "  ", first: "- ", second: "+ " };

export function SchemasPage() {
  const [found, setFound] = useState<Subjects | null>(null);
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    subjects().then(
      (told) => {
        setFound(told);
        setProblem("");
        const used = told.uses.map((one) => one.subject);
        setChosen((known) => known ?? used.find((one) => told.subjects.includes(one)) ?? null);
      },
      (error) => setProblem(said(error)),
    );
  }, [turn]);
  return (
    <>
      <h2>Schemas</h2>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {!found && !problem && <p class="quiet">Asking the registry</p>}
      {found?.registry === null && (
        <>
          <p role="status">None: this pipeline has no schema registry.</p>
          <p>
            Messages that carry the id of their schema need one. Write into the pipeline file, then start the host again:
          </p>
          <pre>{'[source.kafka]\nformat = "avro"   # or "protobuf", "json-schema"\n\n[schema_registry]\nurl = "http://localhost:8081"'}</pre>
        </>
      )}
      {found?.registry != null && (
        <>
          <p role="status">{grouped(found.subjects.length)} subjects at <code>{found.registry}</code></p>
          <button onClick={() => setTurn(turn + 1)}>Look again</button>
          <List found={found} chosen={chosen} onChoose={setChosen} />
          {chosen !== null && <Subject key={`${chosen} ${turn}`} subject={chosen} isUsed={found.uses.some((one) => one.subject === chosen)} />}
        </>
      )}
    </>
  );
}

function useOf(found: Subjects, subject: string): string {
  const of = found.uses.filter((one) => one.subject === subject);
  const words = of.map(({ what, version }) => (what === "table" ? `the table's columns (${version})` : "messages"));
  return words.join(", ") || "–";
}

interface ListProps {
  found: Subjects;
  chosen: string | null;
  onChoose: (subject: string) => void;
}

function List({ found, chosen, onChoose }: ListProps) {
  const [text, setText] = useState("");
  const missing = found.uses.filter((one) => !found.subjects.includes(one.subject));
  const used = (subject: string) => found.uses.some((one) => one.subject === subject);
  const all = [...found.subjects.filter(used), ...found.subjects.filter((one) => !used(one))];
  const fitting = all.filter((one) => one.includes(text));
  return (
    <>
      {missing.map(({ subject }) => (
        <p key={subject}>
          The pipeline's subject <code>{subject}</code> is not there yet: it comes with the first message of a producer, or with{" "}
          <code>wasmill schema register</code>.
        </p>
      ))}
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="subject-filter">Name contains</label>
        <input id="subject-filter" value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </form>
      {fitting.length > 0 && (
        <div class="wide listed" tabIndex={0} role="region" aria-label="Subjects">
          <table>
            <thead><tr><th scope="col">Subject</th><th scope="col">This pipeline uses it for</th></tr></thead>
            <tbody>
              {fitting.slice(0, LISTED).map((subject) => (
                <tr key={subject}>
                  <th scope="row">
                    <button class="link" aria-pressed={subject === chosen} onClick={() => onChoose(subject)}>{subject}</button>
                  </th>
                  <td>{useOf(found, subject)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {fitting.length === 0 && <p class="quiet">{all.length === 0 ? "No subject yet." : "No name contains that."}</p>}
      {fitting.length > LISTED && <p class="quiet">These are {LISTED} of {grouped(fitting.length)}: write more of the name.</p>}
    </>
  );
}

function Subject({ subject, isUsed }: { subject: string; isUsed: boolean }) {
  const [versions, setVersions] = useState<number[] | null>(null);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState<number | null>(null);
  const [beside, setBeside] = useState<number | null>(null);
  useEffect(() => {
    schemaVersions(subject).then(
      (told) => {
        setVersions(told);
        setShown(told.at(-1) ?? null);
        setBeside(told.at(-2) ?? null);
      },
      (error) => setProblem(said(error)),
    );
  }, []);
  const number = (value: string) => (value === "" ? null : Number(value));
  return (
    <section aria-labelledby="subject">
      <h3 id="subject">{subject}</h3>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="version">Version</label>
        <select id="version" value={shown ?? ""} onChange={(event) => setShown(number(event.currentTarget.value))}>
          {versions?.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
        <label for="beside">compared with</label>
        <select id="beside" value={beside ?? ""} onChange={(event) => setBeside(number(event.currentTarget.value))}>
          <option value="">nothing</option>
          {versions?.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      </form>
      {shown !== null && <Version key={`${shown} ${beside}`} subject={subject} isUsed={isUsed} shown={shown} beside={beside} />}
    </section>
  );
}

/** JSON is easier to compare by lines. */
function laidOut({ kind, schema }: SchemaVersion): string {
  if (kind === "Protobuf") return schema.trimEnd();
  try {
    return JSON.stringify(JSON.parse(schema), null, 2);
  } catch {
    return schema;
  }
}

interface VersionProps {
  subject: string;
  isUsed: boolean;
  shown: number;
  beside: number | null;
}

function Version({ subject, isUsed, shown, beside }: VersionProps) {
  const [both, setBoth] = useState<[SchemaVersion, SchemaVersion | null] | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const other = beside === null ? Promise.resolve(null) : schemaVersion(subject, beside);
    Promise.all([schemaVersion(subject, shown), other]).then(setBoth, (error) => setProblem(said(error)));
  }, []);
  if (problem) return <p role="alert" class="trouble">{problem}</p>;
  if (!both) return <p class="quiet">…</p>;
  const [one, other] = both;
  const lines = difference(laidOut(other ?? one), laidOut(one));
  const changed = lines.filter((line) => line.kind !== "both").length;
  return (
    <>
      <p role="status">
        {one.kind}, id {one.id ?? "not told"}.
        {other && (changed === 0 ? ` It reads as version ${beside}.` : ` ${grouped(changed)} lines differ from version ${beside}.`)}
      </p>
      {isUsed && one.unfit && <p class="trouble">Messages of this version become no rows of the pipeline's table: {one.unfit}</p>}
      {one.references.length > 0 && (
        <p>It refers to {one.references.map((to) => `${to.name} (version ${to.version} of ${to.subject})`).join(", ")}.</p>
      )}
      <pre class="difference" tabIndex={0} aria-label={other ? "The difference" : "The schema"} role="region">
        {lines.map(({ kind, text }, at) => {
          const words = (other ? SIGNS[kind] : "") + text;
          if (kind === "first") return <del key={at}>{words}</del>;
          if (kind === "second") return <ins key={at}>{words}</ins>;
          return <span key={at}>{words}</span>;
        })}
      </pre>
    </>
  );
}

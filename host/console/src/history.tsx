import { useState } from "preact/hooks";
import { Problem, useAnswer } from "./table";
import { moment } from "./figures";
import { AskFirst, type Intent } from "./ask-first";
import { Changes, changesColumns } from "./changes";
import { type Difference, type Entry, difference, rollback } from "./transforms-api";

/** Entries that are shown until all are asked for. */
const SHOWN = 30;

/** The deployment that an entry brought, where it brought one. */
export function brought({ number, deployment, canary }: Entry) {
  return [deployment, canary?.deployment].find((one) => one?.number === number);
}

function action({ action, deployment }: Entry): string {
  if (typeof action !== "string") {
    return "rollback" in action ? `rollback to ${action.rollback.to}` : `fall back to ${action["fall-back"].to}`;
  }
  if (action === "promote") return `promote ${deployment.number}`;
  return action === "abort" ? "end of trial" : action;
}

/** Who deployed what, when and why; the newest first. */
export function History({ log, mayDeploy, onRollback }: { log: Entry[]; mayDeploy: boolean; onRollback: (to: number) => void }) {
  const [isWhole, setWhole] = useState(false);
  const [compared, setCompared] = useState<[number, number] | null>(null);
  const present = log[log.length - 1]!;
  const newestFirst = [...log].reverse().slice(0, isWhole ? undefined : SHOWN);
  return (
    <section aria-labelledby="history">
      <h3 id="history">Deployments</h3>
      <div class="wide" tabIndex={0} role="region" aria-labelledby="history">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">Number</th><th scope="col">When</th><th scope="col">What</th><th scope="col">Transforms</th>
              <th scope="col">By</th><th scope="col">Why</th><th scope="col">What it changed</th>{mayDeploy && <th scope="col">Back</th>}
            </tr>
          </thead>
          <tbody>
            {newestFirst.map((entry) => {
              const deployment = brought(entry);
              const earlier = log.find((one) => one.number === entry.number - 1)?.deployment.number;
              return (
                <tr key={entry.number}>
                  <th scope="row" class="number">{entry.number}</th>
                  <td>{moment(entry.at_ms)}</td>
                  <td>{action(entry)}{entry === present && (entry.paused ? " (now, paused)" : " (now)")}</td>
                  <td>{deployment ? deployment.transforms.map((one) => `${one.transform}@${one.version}`).join(", ") : "–"}</td>
                  <td>{entry.by}</td>
                  <td>{entry.note || "–"}</td>
                  <td>
                    {deployment && earlier ? (
                      <button class="link" onClick={() => setCompared([earlier, entry.number])} aria-label={`Difference from deployment ${earlier} to ${entry.number}`}>
                        since {earlier}
                      </button>
                    ) : "–"}
                  </td>
                  {mayDeploy && (
                    <td>
                      {deployment && deployment.number !== present.deployment.number ? (
                        <button class="link" onClick={() => onRollback(entry.number)}>Roll back to {entry.number}</button>
                      ) : "–"}
                    </td>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {!isWhole && log.length > SHOWN && <button onClick={() => setWhole(true)}>Show all {log.length}</button>}
      <Compare log={log} compared={compared ?? lastTwo(log)} onChange={setCompared} />
    </section>
  );
}

function lastTwo(log: Entry[]): [number, number] {
  const numbers = log.flatMap((entry) => brought(entry)?.number ?? []);
  return [numbers[numbers.length - 2] ?? numbers[0]!, numbers[numbers.length - 1]!];
}

/** What changes between two deployments of the log. */
function Compare({ log, compared, onChange }: { log: Entry[]; compared: [number, number]; onChange: (compared: [number, number]) => void }) {
  const [from, to] = compared;
  const { answer, problem } = useAnswer<Difference>(() => difference(from, to), `${from} ${to}`);
  const numbers = log.flatMap((entry) => brought(entry)?.number ?? []);
  const options = numbers.map((number) => <option key={number} value={number}>{number}</option>);
  return (
    <>
      <h4 id="compare">Difference</h4>
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="from">From deployment</label>
        <select id="from" value={from} onChange={(event) => onChange([Number(event.currentTarget.value), to])}>{options}</select>
        <label for="to">to</label>
        <select id="to" value={to} onChange={(event) => onChange([from, Number(event.currentTarget.value)])}>{options}</select>
      </form>
      <Problem problem={problem} />
      <div role="region" aria-labelledby="compare" aria-live="polite">{answer && <Changes difference={answer} />}</div>
    </>
  );
}

/** Shows what a rollback changes, and asks. */
export function Rollback({ log, to, onClose }: { log: Entry[]; to: number; onClose: (told: string) => void }) {
  const present = log[log.length - 1]!;
  const [mayBreak, setMayBreak] = useState(false);
  const { answer, problem } = useAnswer<Difference>(() => difference(present.deployment.number, to), to);
  const intent: Intent = {
    title: `Roll back to deployment ${to}`,
    what: (
      <>
        <p>
          All hosts swap to what deployment {to} had, each topic partition with its next range, without a pause.
          {present.canary && ` The trial of deployment ${present.canary.deployment.number} ends with it.`} Rows that were written stay as
          they are; <code>wasmill reprocess</code> makes them anew elsewhere. From deployment {present.deployment.number}:
        </p>
        <Problem problem={problem} />
        {answer && <Changes difference={answer} />}
        {answer && changesColumns(answer) && (
          <p>
            <label>
              <input type="checkbox" checked={mayBreak} onChange={(event) => setMayBreak(event.currentTarget.checked)} /> Also
              though readers of the table lose a column, or see another type
            </label>
          </p>
        )}
      </>
    ),
    button: "Roll back",
    act: async (note) => {
      const { accepted } = await rollback(to, note, mayBreak);
      return accepted ? `Deployment ${accepted.number}, what ${to} had, runs within seconds.` : "Nothing was done: this is what runs already.";
    },
  };
  return <AskFirst intent={intent} onClose={onClose} />;
}

import { useState } from "preact/hooks";
import { type Host, pause, resume } from "./api";
import { AskFirst, type Intent } from "./ask-first";
import { bytes, grouped, perSecond } from "./figures";
import { work } from "./transform-rates";
import { type Entry, promote, rollback } from "./transforms-api";

/** What runs now, and what may be done to it. */
export function Running({ log, told, mayDeploy, onTold, onRollback }: {
  log: Entry[];
  /** What was done last. */
  told: string;
  mayDeploy: boolean;
  onTold: (words: string) => void;
  onRollback: (to: number) => void;
}) {
  const [intent, setIntent] = useState<Intent | null>(null);
  const present = log[log.length - 1]!;
  const { deployment, canary, paused } = present;
  const earlier = log.find((entry) => entry.number === deployment.number - 1)?.deployment.number;
  const close = (words: string) => {
    setIntent(null);
    onTold(words);
  };
  return (
    <section aria-labelledby="running">
      <h3 id="running">What runs</h3>
      <p>
        {paused ? "The pipeline is paused; when it goes on, d" : "D"}eployment <strong>{deployment.number}</strong> runs{canary ? " but where the trial is" : ""}:{" "}
        {deployment.transforms.map((one) => `${one.transform}@${one.version}`).join(", ")}.
      </p>
      {canary && (
        <p>
          Deployment <strong>{canary.deployment.number}</strong> is on trial on {canary.topic_partitions.join(", ")}:{" "}
          {canary.deployment.transforms.map((one) => `${one.transform}@${one.version}`).join(", ")}. Hosts end the trial by themselves when
          it does worse ({Object.entries(canary.bounds).map(([name, bound]) => `${name}=${bound}`).join(", ")}).
        </p>
      )}
      {mayDeploy && (
        <div class="actions">
          {canary && <button onClick={() => setIntent(promotion(present))}>Promote deployment {canary.deployment.number}</button>}
          {canary && <button onClick={() => setIntent(endOfTrial(present))}>End the trial</button>}
          {!canary && earlier !== undefined && earlier > 0 && <button onClick={() => onRollback(earlier)}>Roll back to deployment {earlier}</button>}
          <button onClick={() => setIntent(paused ? RESUMING : PAUSING)}>{paused ? "Resume" : "Pause"}</button>
        </div>
      )}
      <p class="live" role="status">{told}</p>
      {intent && <AskFirst intent={intent} onClose={close} />}
    </section>
  );
}

const PAUSING: Intent = {
  title: "Pause the pipeline",
  what: (
    <p>
      All hosts commit what is open, then read no more. New events wait in the source, and the lag grows, until the pipeline is
      resumed. Nothing is lost.
    </p>
  ),
  button: "Pause",
  act: async (note) => {
    await pause(note);
    return "Paused; hosts end what is open, then read no more.";
  },
};

const RESUMING: Intent = {
  title: "Resume the pipeline",
  what: <p>All hosts go on reading where they stopped.</p>,
  button: "Resume",
  act: async (note) => {
    await resume(note);
    return "Resumed; hosts follow within seconds.";
  },
};

const promotion = ({ deployment, canary }: Entry): Intent => ({
  title: `Promote deployment ${canary!.deployment.number}`,
  what: (
    <p>
      Deployment {canary!.deployment.number} runs on all topic partitions from their next ranges on, deployment {deployment.number}{" "}
      nowhere any more. What was written stays as it is.
    </p>
  ),
  button: "Promote",
  act: async (note) => {
    await promote(note);
    return `Deployment ${canary!.deployment.number} runs everywhere within seconds.`;
  },
});

const endOfTrial = ({ deployment, canary }: Entry): Intent => ({
  title: `End the trial of deployment ${canary!.deployment.number}`,
  what: (
    <p>
      {canary!.topic_partitions.join(", ")} {canary!.topic_partitions.length === 1 ? "goes" : "go"} back to deployment{" "}
      {deployment.number} with the next range. What the trial wrote stays in the table.
    </p>
  ),
  button: "End the trial",
  act: async (note) => {
    await rollback(null, note);
    return `The trial is over; deployment ${deployment.number} runs everywhere within seconds.`;
  },
});

const micros = (us: number) => (us >= 10_000 ? `${(us / 1000).toFixed(us >= 100_000 ? 0 : 1)} ms` : `${us.toFixed(us >= 100 ? 0 : 2)} µs`);

const share = (part: number) => (part === 0 ? "0" : `${(part * 100).toFixed(part < 0.01 ? 3 : 1)} %`);

/** Rates, time and memory of each transform, by deployment. */
export function Figures({ hosts, before, canary }: { hosts: Host[] | null; before: Map<string, Host>; canary: number | undefined }) {
  const all = work(hosts ?? [], before);
  return (
    <section aria-labelledby="work">
      <h3 id="work">What each transform does</h3>
      {hosts !== null && all.length === 0 && (
        <p class="quiet">No host has told of any yet: a host tells some seconds after it was started with <code>wasmill run pipeline.toml</code></p>
      )}
      <div class="wide" tabIndex={0} role="region" aria-labelledby="work">
        <table>
          <thead>
            <tr>
              <th scope="col">Transform</th><th scope="col">Deployment</th><th scope="col" class="number">Events / s</th>
              <th scope="col" class="number">Events</th><th scope="col" class="number">Kept</th><th scope="col" class="number">Rejected</th>
              <th scope="col" class="number">Failed</th><th scope="col" class="number">Time / event</th><th scope="col" class="number">99 % within</th>
              <th scope="col" class="number">Slowest call</th><th scope="col" class="number">Memory</th><th scope="col" class="number">Instances</th>
            </tr>
          </thead>
          <tbody>
            {all.map((one) => (
              <tr key={`${one.deployment} ${one.name}`}>
                <th scope="row">{one.name}@{one.version}</th>
                <td>{one.deployment === 0 ? "pipeline file" : one.deployment}{one.deployment === canary && ", on trial"}</td>
                <td class="number">{perSecond(one.eventsPerSecond)}</td>
                <td class="number">{grouped(one.events)}</td>
                <td class="number">{share(one.kept)}</td>
                <td class="number">{share(one.rejected)}</td>
                <td class="number">{share(one.failed)}</td>
                <td class="number">{one.usPerEvent === null ? "–" : micros(one.usPerEvent)}</td>
                <td class="number">{micros(one.p99Us)}</td>
                <td class="number">{micros(one.slowestUs)} of {micros(one.deadlineUs)}</td>
                <td class="number">{bytes(one.memoryBytes)} of {bytes(one.memoryLimitBytes)}</td>
                <td class="number">{one.instances}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="quiet">Events and shares since the hosts started; rates and times for one event of the last ten seconds.</p>
    </section>
  );
}

import { useState } from "preact/hooks";
import { said } from "./api";
import { AskFirst, type Intent } from "./ask-first";
import { type Draft, chainOf, draftsOf, keptAsTheyAre } from "./chain-draft";
import { Trial } from "./trial";
import { type Deployed, type Entry, type Listed, type Order, type Ordered, type Policy, deploy } from "./transforms-api";

const SAMPLE = 10_000;
const POLICIES: [Policy, string][] = [
  ["dead-letter", "the row becomes a dead letter"],
  ["skip", "the row goes on unchanged"],
  ["stop", "the topic partition stops"],
];

/** What is tried and deployed with the chain. */
interface How {
  sample: string;
  isCanary: boolean;
  nth: string;
  bounds: string;
  mayBreak: boolean;
}

const HOW: How = { sample: String(SAMPLE), isCanary: false, nth: "8", bounds: "failed=0.001,rejected=0.02,slower=3", mayBreak: false };

/** The chain is written, tried beside the present one, and then deployed. */
export function Deploy({ log, all, seesPayloads, onChanged }: {
  log: Entry[];
  all: Listed[];
  seesPayloads: boolean;
  onChanged: () => void;
}) {
  const present = log[log.length - 1]!;
  // What is written holds over the deployment that it began with.
  const [base, setBase] = useState(present.deployment);
  const [drafts, setDrafts] = useState(() => draftsOf(present.deployment));
  const [how, setHow] = useState(HOW);
  const [tried, setTried] = useState<{ order: Order; ordered: Ordered } | null>(null);
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [intent, setIntent] = useState<Intent | null>(null);
  const isStale = base.number !== present.deployment.number;
  const begin = () => {
    setBase(present.deployment);
    setDrafts(draftsOf(present.deployment));
    setTried(null);
  };
  /** What was tried is not what is written any more. */
  const write = (next: Draft[]) => {
    setDrafts(next);
    setTried(null);
  };
  const change = (part: Partial<How>) => {
    setHow({ ...how, ...part });
    setTried(null);
  };
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const order: Order = {
      ...chainOf(drafts, base),
      canary: how.isCanary ? Number(how.nth) : null,
      bounds: how.isCanary ? how.bounds : null,
      sample: Number(how.sample),
      allow_schema_change: how.mayBreak,
      dry_run: true,
      note: "",
    };
    setBusy(true);
    setProblem("");
    setTried(null);
    setTold("It is compiled and tried; nothing is written.");
    try {
      setTried({ order, ordered: await deploy(order) });
      setTold("Tried; nothing was changed.");
    } catch (error) {
      setTold("");
      setProblem(`It cannot be deployed so: ${said(error)}`);
    }
    setBusy(false);
  };
  const close = (words: string) => {
    setIntent(null);
    if (!words) return;
    setTold(words);
    setTried(null);
    onChanged();
  };
  return (
    <section aria-labelledby="deploy">
      <h3 id="deploy">Deploy</h3>
      {isStale && (
        <p class="trouble">
          Deployment {present.deployment.number} runs since; what is written here is over {base.number}.{" "}
          <button type="button" onClick={begin}>Begin again from {present.deployment.number}</button>
        </p>
      )}
      <form class="deploy" onSubmit={submit}>
        <Chain drafts={drafts} deployed={base.transforms} all={all} onChange={write} />
        <HowItIsDone how={how} onChange={change} />
        <div class="actions">
          <button type="submit" disabled={isBusy || isStale || drafts.length === 0}>Try it</button>
          <button type="button" onClick={begin}>As it is now</button>
        </div>
      </form>
      <p class="live" role="status">{told}</p>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {tried?.ordered.proposal && (
        <>
          <Trial proposal={tried.ordered.proposal} refused={tried.ordered.would_be_refused} present={base.number} seesPayloads={seesPayloads} />
          {!tried.ordered.would_be_refused && (
            <button onClick={() => setIntent(meant(tried.order, present))}>{tried.order.canary ? "Deploy on trial" : "Deploy"}</button>
          )}
        </>
      )}
      {intent && <AskFirst intent={intent} onClose={close} />}
    </section>
  );
}

function meant(order: Order, present: Entry): Intent {
  const number = present.deployment.number;
  return {
    title: order.canary ? "Deploy on trial" : "Deploy",
    what: (
      <>
        <p>{order.transforms.join(", ")}</p>
        <p>
          {order.canary
            ? `One in ${order.canary} of the topic partitions, at least one, swap to it with their next range; deployment ${number} runs on the others. Hosts end the trial by themselves when it does worse; else it lasts until it is promoted or ended.`
            : `All hosts swap to it, each topic partition with its next range, without a pause. Deployment ${number} can be rolled back to.`}
          {present.canary && ` The trial of deployment ${present.canary.deployment.number} ends with it.`}
          {present.paused && " The pipeline stays paused."}
        </p>
      </>
    ),
    button: order.canary ? "Deploy on trial" : "Deploy",
    act: async (note) => {
      const { accepted } = await deploy({ ...order, sample: 0, dry_run: false, note });
      if (!accepted) return "Nothing was done: this is what runs already.";
      return `Deployment ${accepted.number} ${order.canary ? "is on trial" : "runs"} within seconds.`;
    },
  };
}

function HowItIsDone({ how, onChange }: { how: How; onChange: (part: Partial<How>) => void }) {
  return (
    <fieldset>
      <legend>How</legend>
      <div class="fields">
        <label>
          Recent events to try it on
          <input type="number" min="0" max="100000" required value={how.sample} onInput={(event) => onChange({ sample: event.currentTarget.value })} />
        </label>
        <label class="tick">
          <input type="checkbox" checked={how.isCanary} onChange={(event) => onChange({ isCanary: event.currentTarget.checked })} /> On
          trial first, on some topic partitions
        </label>
        <label>
          One in how many of them
          <input type="number" min="2" max="1000" required disabled={!how.isCanary} value={how.nth} onInput={(event) => onChange({ nth: event.currentTarget.value })} />
        </label>
        <label>
          How much worse it may do
          <input disabled={!how.isCanary} value={how.bounds} onInput={(event) => onChange({ bounds: event.currentTarget.value })} />
        </label>
        <label class="tick">
          <input type="checkbox" checked={how.mayBreak} onChange={(event) => onChange({ mayBreak: event.currentTarget.checked })} /> Also
          if readers of the table lose a column, or see another type
        </label>
      </div>
    </fieldset>
  );
}

/** The transforms in their order. */
function Chain({ drafts, deployed, all, onChange }: {
  drafts: Draft[];
  deployed: Deployed[];
  all: Listed[];
  onChange: (drafts: Draft[]) => void;
}) {
  const put = (at: number, part: Partial<Draft>) => onChange(drafts.map((draft, index) => (index === at ? { ...draft, ...part } : draft)));
  const swap = (at: number, other: number) => {
    const next = [...drafts];
    [next[at], next[other]] = [next[other]!, next[at]!];
    onChange(next);
  };
  return (
    <>
      {drafts.map((draft, index) => (
        <One key={draft.name} draft={draft} deployed={deployed.find((one) => one.name === draft.name)} all={all}
          onChange={(part) => put(index, part)}
          onEarlier={index > 0 ? () => swap(index, index - 1) : null}
          onLater={index + 1 < drafts.length ? () => swap(index, index + 1) : null}
          onRemove={() => onChange(drafts.filter((one) => one !== draft))} />
      ))}
      {drafts.length === 0 && <p class="quiet">No transform is left; add one.</p>}
      <Add drafts={drafts} all={all} onAdd={(draft) => onChange([...drafts, draft])} />
    </>
  );
}

function One({ draft, deployed, all, onChange, onEarlier, onLater, onRemove }: {
  draft: Draft;
  deployed: Deployed | undefined;
  all: Listed[];
  onChange: (part: Partial<Draft>) => void;
  onEarlier: (() => void) | null;
  onLater: (() => void) | null;
  onRemove: () => void;
}) {
  const versions = versionsOf(all, draft.transform, draft.version);
  const limits = Object.entries(deployed?.limits ?? {}).map(([name, value]) => `${name}=${value}`);
  const kept = keptAsTheyAre(deployed);
  return (
    <fieldset>
      <legend>{draft.name === draft.transform ? draft.name : `${draft.name} (${draft.transform})`}</legend>
      <div class="fields">
        <label>
          Version
          <select value={draft.version} onChange={(event) => onChange({ version: event.currentTarget.value })}>
            {versions.map((version) => <option key={version} value={version}>{version}</option>)}
          </select>
        </label>
        <label>
          What follows when it fails
          <select value={draft.onFailure} onChange={(event) => onChange({ onFailure: event.currentTarget.value as Policy })}>
            {POLICIES.map(([policy, words]) => <option key={policy} value={policy}>{words}</option>)}
          </select>
        </label>
        <label>
          Settings, NAME=VALUE a line
          <textarea rows={2} value={draft.settings} placeholder="none: the module's own defaults" onInput={(event) => onChange({ settings: event.currentTarget.value })} />
        </label>
        <label>
          Limits to change, LIMIT=VALUE a line
          <textarea rows={2} value={draft.limits} placeholder={limits.length > 0 ? limits.join("\n") : "memory=32MiB"} onInput={(event) => onChange({ limits: event.currentTarget.value })} />
        </label>
      </div>
      {kept.length > 0 && <p class="quiet">Kept as they are, for they have several lines: {kept.join(", ")}</p>}
      <div class="actions">
        <button type="button" disabled={!onEarlier} onClick={() => onEarlier?.()} aria-label={`${draft.name} earlier`}>Earlier</button>
        <button type="button" disabled={!onLater} onClick={() => onLater?.()} aria-label={`${draft.name} later`}>Later</button>
        <button type="button" onClick={onRemove} aria-label={`Take ${draft.name} out`}>Take out</button>
      </div>
    </fieldset>
  );
}

/** Those that may be deployed, the newest first; and the one that stands there, whatever became of it. */
function versionsOf(all: Listed[], transform: string, present?: string) {
  const listed = all.filter((one) => one.name === transform && (one.withdrawn === null || one.version === present));
  const versions = listed.map((one) => one.version).reverse();
  return present === undefined || versions.includes(present) ? versions : [present, ...versions];
}

function Add({ drafts, all, onAdd }: { drafts: Draft[]; all: Listed[]; onAdd: (draft: Draft) => void }) {
  const [chosen, setChosen] = useState("");
  const [name, setName] = useState("");
  const transforms = [...new Set(all.filter((one) => one.withdrawn === null).map((one) => one.name))];
  const transform = transforms.includes(chosen) ? chosen : (transforms[0] ?? "");
  const named = name.trim() || transform;
  const isTaken = drafts.some((draft) => draft.name === named);
  if (transforms.length === 0) return null;
  const add = () => {
    onAdd({ name: named, transform, version: versionsOf(all, transform)[0]!, settings: "", limits: "", onFailure: "dead-letter" });
    setName("");
  };
  return (
    <fieldset>
      <legend>One more</legend>
      <div class="fields">
        <label>
          Transform
          <select value={transform} onChange={(event) => setChosen(event.currentTarget.value)}>
            {transforms.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        <label>
          Its name in the pipeline
          <input value={name} placeholder={transform} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
      </div>
      <div class="actions">
        <button type="button" disabled={isTaken} onClick={add}>Add</button>
        <span class="quiet">{isTaken ? `${named} stands there already; to have it twice give it a name of its own.` : ""}</span>
      </div>
    </fieldset>
  );
}

import { useState } from "preact/hooks";
import type { Session } from "./api";
import { Deploy } from "./deploy";
import { GuestLines } from "./guest-lines";
import { History, Rollback } from "./history";
import { useHosts } from "./overview";
import { Figures, Running } from "./running";
import { Problem, useAnswer } from "./table";
import { entries, versions } from "./transforms-api";
import { Upload } from "./upload";
import { Versions } from "./versions";

export function TransformsPage({ who, onExpired }: { who: Session; onExpired: () => void }) {
  const { hosts, isLost, before } = useHosts(onExpired);
  const [turn, setTurn] = useState(0);
  const [backTo, setBackTo] = useState<number | null>(null);
  const [told, setTold] = useState("");
  const again = () => setTurn((turn) => turn + 1);
  // What others deploy is seen by what hosts run.
  const running = (hosts ?? []).map((host) => `${host.deployment} ${host.canary} ${host.paused}`).join();
  const { answer: log, problem } = useAnswer(entries, `${turn} ${running}`);
  const { answer: all, problem: listProblem } = useAnswer(versions, `${turn} ${running}`);
  const mayDeploy = who.roles.includes("deployer");
  const seesPayloads = who.roles.includes("payloads");
  // All of it at once, so that nothing moves when the rest comes.
  const isKnown = (log !== null || problem !== "") && (all !== null || listProblem !== "");
  const isDeployed = log !== null && log.length > 0;
  const canary = isDeployed ? log[log.length - 1]!.canary?.deployment.number : undefined;
  const names = [...new Set((hosts ?? []).flatMap((host) => Object.values(host.transforms).flat().map((one) => one.name)))];
  const hear = (words: string) => {
    setBackTo(null);
    setTold(words);
    if (words) again();
  };
  return (
    <>
      <h2>Transforms</h2>
      <p class="live" role="status">
        {isLost ? "The host does not answer; these are its last figures." : hosts === null ? "Connecting" : "Live"}
      </p>
      {isKnown && (
        <>
          <Problem problem={problem} />
          {log !== null && !isDeployed && (
            <p class="quiet">
              Nothing is deployed: the transforms of this pipeline stand in its file. With <code>transforms = "deployed"</code> under{" "}
              <code>[pipeline]</code> they are deployed from here instead; what is uploaded below waits for that.
            </p>
          )}
          {isDeployed && <Running log={log} told={told} mayDeploy={mayDeploy} onTold={hear} onRollback={setBackTo} />}
          <Figures hosts={hosts} before={before} canary={canary} />
          {isDeployed && mayDeploy && all && <Deploy log={log} all={all} seesPayloads={seesPayloads} onChanged={again} />}
          {mayDeploy && <Upload onUploaded={again} />}
          <Problem problem={listProblem} />
          {all && <Versions all={all} mayDeploy={mayDeploy} onChanged={again} />}
          {isDeployed && <History log={log} mayDeploy={mayDeploy} onRollback={setBackTo} />}
          {seesPayloads ? <GuestLines transforms={names} /> : <p class="quiet">What transforms log is shown to tokens with the role payloads.</p>}
          {isDeployed && backTo !== null && <Rollback log={log} to={backTo} onClose={hear} />}
        </>
      )}
    </>
  );
}

import { useState } from "preact/hooks";
import { AskFirst, type Intent } from "./ask-first";
import { bytes, moment } from "./figures";
import { type Listed, moduleOf, withdraw } from "./transforms-api";

/** What was uploaded, the newest first of each transform. */
export function Versions({ all, mayDeploy, onChanged }: { all: Listed[]; mayDeploy: boolean; onChanged: () => void }) {
  const [intent, setIntent] = useState<Intent | null>(null);
  const [told, setTold] = useState("");
  const ask = (release: Listed) =>
    setIntent({
      title: `Withdraw ${release.name}@${release.version}`,
      what: (
        <p>
          It can be deployed no more, for good. Deployments that have it keep it: what runs goes on, and a rollback to one of
          them still works.
        </p>
      ),
      button: "Withdraw",
      act: async (note) => {
        await withdraw(release, note);
        return `${release.name}@${release.version} is withdrawn.`;
      },
    });
  const close = (words: string) => {
    setIntent(null);
    setTold(words);
    if (words) onChanged();
  };
  const newestFirst = [...all].sort((a, b) => a.name.localeCompare(b.name) || b.pushed_at_ms - a.pushed_at_ms);
  return (
    <section aria-labelledby="versions">
      <h3 id="versions">Versions</h3>
      {all.length === 0 ? (
        <p class="quiet">
          None yet. Build a module with <code>wasmill transform build</code>, then drop it {mayDeploy ? "above" : "here with a token of the role deployer"},
          or <code>wasmill push</code> it.
        </p>
      ) : (
        <div class="wide" tabIndex={0} role="region" aria-labelledby="versions">
          <table>
            <thead>
              <tr>
                <th scope="col">Version</th><th scope="col">Uploaded</th><th scope="col">By</th><th scope="col" class="number">Size</th>
                <th scope="col">Interface</th><th scope="col">Signed</th><th scope="col">sha256</th><th scope="col">Module</th><th scope="col">State</th>
              </tr>
            </thead>
            <tbody>
              {newestFirst.map((release) => {
                const name = `${release.name}@${release.version}`;
                return (
                  <tr key={name}>
                    <th scope="row">{name}</th>
                    <td>{moment(release.pushed_at_ms)}</td>
                    <td>{release.pushed_by}</td>
                    <td class="number">{bytes(release.size)}</td>
                    <td>{release.interface}</td>
                    <td>{release.signature ? "yes" : "no"}</td>
                    <td><code>{release.sha256.slice(0, 12)}</code></td>
                    <td><a href={moduleOf(release)} download aria-label={`Module of ${name}`}>Download</a></td>
                    <td>
                      {release.withdrawn ? (
                        `withdrawn by ${release.withdrawn.by}: ${release.withdrawn.note || "no reason given"}`
                      ) : mayDeploy ? (
                        <button class="link" onClick={() => ask(release)} aria-label={`Withdraw ${name}`}>Withdraw</button>
                      ) : (
                        "can be deployed"
                      )}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      <p class="live" role="status">{told}</p>
      {intent && <AskFirst intent={intent} onClose={close} />}
    </section>
  );
}

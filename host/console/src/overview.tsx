import { useEffect, useRef, useState } from "preact/hooks";
import { type Host, Refused, type Session, pause, resume, watchHosts } from "./api";
import { bytes, grouped, lag, perSecond, rate, span, staleness, topicPartitions, totals, troubles } from "./figures";

/** The statuses of all hosts, live, and the one of each before its last. */
export function useHosts(onLost: () => void) {
  const [hosts, setHosts] = useState<Host[] | null>(null);
  const [isLost, setLost] = useState(false);
  const before = useRef(new Map<string, Host>());
  const last = useRef(new Map<string, Host>());
  useEffect(
    () =>
      watchHosts(
        (told) => {
          for (const host of told) {
            const known = last.current.get(host.host);
            if (known && known.at_ms < host.at_ms) before.current.set(host.host, known);
            last.current.set(host.host, host);
          }
          setHosts(told);
          setLost(false);
        },
        () => {
          setLost(true);
          onLost();
        },
      ),
    [],
  );
  return { hosts, isLost, before: before.current };
}

function Figure({ name, value, unit, title }: { name: string; value: string; unit?: string; title?: string }) {
  return (
    <div class="figure" title={title}>
      <dt>{name}</dt>
      <dd>
        {value}
        {unit && <span class="unit"> {unit}</span>}
      </dd>
    </div>
  );
}

export function Overview({ who, onExpired }: { who: Session; onExpired: () => void }) {
  const { hosts, isLost, before } = useHosts(onExpired);
  const all = hosts ?? [];
  const sum = totals(all);
  const nowMs = Date.now();
  const waiting = lag(all);
  const stale = staleness(all, nowMs);
  const none = hosts === null ? "…" : "–";
  const known = all.length > 0;
  return (
    <>
      <h2>Overview</h2>
      <p class="live" role="status">
        {isLost ? "The host does not answer; these are its last figures." : hosts === null ? "Connecting" : "Live"}
      </p>
      <dl class="figures">
        <Figure name="Events" value={known ? perSecond(rate(all, before)) : none} unit="/ s" title="Read by all hosts" />
        <Figure name="Lag" value={waiting === null ? none : grouped(waiting)} unit="messages"
          title="Between the position and the end of the topics; a source without an end tells none" />
        <Figure name="Last commit" value={stale === null ? none : span(stale)} unit="ago"
          title="Of the topic partition that is behind most" />
        <Figure name="Rows written" value={known ? grouped(sum.written) : none} title="Since the hosts started" />
        <Figure name="Filtered" value={known ? grouped(sum.filtered) : none} title="Since the hosts started" />
        <Figure name="Dead letters" value={known ? grouped(sum.dead_lettered) : none} title="Since the hosts started" />
      </dl>
      {hosts !== null && <Wrong hosts={hosts} />}
      {hosts !== null && known && <Switch who={who} paused={all.some((host) => host.paused)} deployed={all.some((host) => host.deployment > 0)} />}
      <Hosts hosts={hosts} nowMs={nowMs} />
      <Partitions hosts={all} nowMs={nowMs} />
    </>
  );
}

function Wrong({ hosts }: { hosts: Host[] }) {
  const found = troubles(hosts);
  return (
    <section aria-labelledby="wrong" aria-live="polite">
      <h3 id="wrong">What is wrong</h3>
      {hosts.length === 0 ? (
        <p class="trouble">
          No host has told of itself in the last half minute. Start one: <code>wasmill run pipeline.toml</code>
        </p>
      ) : found.length === 0 ? (
        <p class="fine">Nothing that a host knows of.</p>
      ) : (
        <ul class="troubles">
          {found.map(({ what, todo }) => (
            <li class="trouble" key={what}>
              <strong>{what}</strong>
              <p>{todo}</p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Pauses and resumes a pipeline whose transforms are deployed. */
function Switch({ who, paused, deployed }: { who: Session; paused: boolean; deployed: boolean }) {
  const [told, setTold] = useState("");
  if (!deployed || !who.roles.includes("deployer")) return null;
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const note = new FormData(form).get("note") as string;
    try {
      await (paused ? resume(note) : pause(note));
      setTold(paused ? "Resumed; hosts follow within seconds." : "Paused; hosts end what is open, then read no more.");
      form.reset();
    } catch (error) {
      const { message, hint } = error as Refused;
      setTold(`Not done: ${message}. ${hint ?? ""}`);
    }
  };
  return (
    <section aria-labelledby="switch">
      <h3 id="switch">{paused ? "The pipeline is paused" : "Pause"}</h3>
      <form class="row" onSubmit={submit}>
        <label for="note">Why</label>
        <input id="note" name="note" required maxLength={1024} placeholder="It is recorded" />
        <button type="submit">{paused ? "Resume" : "Pause"}</button>
      </form>
      <p role="status" class="quiet">{told}</p>
    </section>
  );
}

function Hosts({ hosts, nowMs }: { hosts: Host[] | null; nowMs: number }) {
  return (
    <section aria-labelledby="hosts">
      <h3 id="hosts">Hosts</h3>
      <div class="wide" tabIndex={0} role="region" aria-labelledby="hosts">
        <table>
          <thead>
            <tr>
              <th scope="col">Machine</th>
              <th scope="col">Deployment</th>
              <th scope="col" class="number">Topic partitions</th>
              <th scope="col" class="number">Read</th>
              <th scope="col" class="number">Memory</th>
              <th scope="col" class="number">Runs for</th>
              <th scope="col" class="number">Told</th>
            </tr>
          </thead>
          <tbody>
            {(hosts ?? []).map((host) => (
              <tr key={host.host}>
                <th scope="row">{host.machine}</th>
                <td>
                  {host.deployment === 0 ? "pipeline file" : host.deployment}
                  {host.canary !== undefined && `, canary ${host.canary}`}
                  {host.paused && ", paused"}
                </td>
                <td class="number">{host.topic_partitions.length}</td>
                <td class="number">{grouped(host.totals.read)}</td>
                <td class="number">{bytes(host.memory_bytes)}</td>
                <td class="number">{span(nowMs - host.started_at_ms)}</td>
                <td class="number">{span(nowMs - host.at_ms)} ago</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Partitions({ hosts, nowMs }: { hosts: Host[]; nowMs: number }) {
  const all = topicPartitions(hosts);
  return (
    <section aria-labelledby="partitions">
      <h3 id="partitions">Topic partitions</h3>
      {hosts.length > 0 && all.length === 0 && <p class="quiet">No host has any yet; they are shared out in some seconds.</p>}
      <div class="wide" tabIndex={0} role="region" aria-labelledby="partitions">
        <table>
          <thead>
            <tr>
              <th scope="col">Topic partition</th>
              <th scope="col">State</th>
              <th scope="col">Host</th>
              <th scope="col" class="number">Committed up to</th>
              <th scope="col" class="number">Lag</th>
              <th scope="col" class="number">Last commit</th>
            </tr>
          </thead>
          <tbody>
            {all.map((one) => (
              <tr key={one.topic_partition + one.machine}>
                <th scope="row">{one.topic_partition}</th>
                <td><span class={`state ${one.state}`}>{one.state}</span></td>
                <td>{one.machine}</td>
                <td class="number">{one.committed === null ? "–" : grouped(one.committed)}</td>
                <td class="number">{one.lag === null ? "–" : grouped(one.lag)}</td>
                <td class="number">{one.committed_at_ms === undefined ? "–" : `${span(nowMs - one.committed_at_ms)} ago`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

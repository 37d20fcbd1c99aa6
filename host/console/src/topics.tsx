import { useEffect, useState } from "preact/hooks";
import { type Session, said } from "./api";
import {
  type ConsumerGroup,
  type GroupPosition,
  type ListedTopic,
  type Topic,
  type Topics,
  consumerGroups,
  groupPositions,
  topic,
  topics,
} from "./cluster";
import { grouped } from "./figures";
import { Messages } from "./messages";

/** Topics that are listed at once; the filter finds the others. */
const LISTED = 200;

export function TopicsPage({ who }: { who: Session }) {
  const [found, setFound] = useState<Topics | null>(null);
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState<ListedTopic | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    topics().then(
      (told) => {
        setFound(told);
        setProblem("");
        setChosen((known) => known ?? told.topics.find((one) => one.of_pipeline) ?? null);
      },
      (error) => setProblem(said(error)),
    );
  }, [turn]);
  return (
    <>
      <h2>Topics</h2>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {!found && !problem && <p class="quiet">Asking the brokers</p>}
      {found?.brokers === null && (
        <p role="status">
          None: this pipeline does not read from Kafka. With <code>[source.kafka]</code> in its file (<code>brokers</code>,{" "}
          <code>topics</code>) the topics of that cluster are here.
        </p>
      )}
      {found?.brokers != null && (
        <>
          <p role="status">{grouped(found.topics.length)} topics at <code>{found.brokers}</code></p>
          <button onClick={() => setTurn(turn + 1)}>Look again</button>
          <List topics={found.topics} chosen={chosen} onChoose={setChosen} />
          {chosen && <One key={chosen.name} chosen={chosen} turn={turn} who={who} />}
          <Groups turn={turn} />
        </>
      )}
    </>
  );
}

interface ListProps {
  topics: ListedTopic[];
  chosen: ListedTopic | null;
  onChoose: (topic: ListedTopic) => void;
}

function List({ topics, chosen, onChoose }: ListProps) {
  const [text, setText] = useState("");
  if (topics.length === 0) {
    return <p>None that the pipeline's user may see: it needs DESCRIBE on them. Topics are never made by reading.</p>;
  }
  const fitting = topics.filter((one) => one.name.includes(text));
  const shown = fitting.slice(0, LISTED);
  return (
    <>
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="topic-filter">Name contains</label>
        <input id="topic-filter" value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </form>
      <div class="wide listed" tabIndex={0} role="region" aria-label="All topics">
        <table>
          <thead>
            <tr>
              <th scope="col">Topic</th><th scope="col" class="number">Topic partitions</th>
              <th scope="col" class="number">Replicas</th><th scope="col">Read by</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((one) => (
              <tr key={one.name}>
                <th scope="row">
                  <button class="link" aria-pressed={one.name === chosen?.name} onClick={() => onChoose(one)}>{one.name}</button>
                </th>
                <td class="number">{grouped(one.topic_partitions)}</td>
                <td class="number">{grouped(one.replicas)}</td>
                <td>{one.of_pipeline ? "this pipeline" : one.internal ? "Kafka itself" : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {fitting.length === 0 && <p class="quiet">No name contains that.</p>}
      {fitting.length > LISTED && <p class="quiet">These are {LISTED} of {grouped(fitting.length)}: write more of the name.</p>}
    </>
  );
}

/** One topic. Its messages can be looked at before the brokers have told the rest. */
function One({ chosen, turn, who }: { chosen: ListedTopic; turn: number; who: Session }) {
  const [found, setFound] = useState<Topic | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let isWanted = true;
    topic(chosen.name).then(
      (told) => isWanted && (setFound(told), setProblem("")),
      (error) => isWanted && setProblem(said(error)),
    );
    return () => void (isWanted = false);
  }, [turn]);
  const role = chosen.of_pipeline ? "payloads" : "admin";
  return (
    <section aria-labelledby="topic">
      <h3 id="topic">{chosen.name}</h3>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      <div class="wide listed" tabIndex={0} role="region" aria-label="Topic partitions">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">Number</th><th scope="col" class="number">First offset</th>
              <th scope="col" class="number">End</th><th scope="col">Leader</th><th scope="col">In sync</th>
              {chosen.of_pipeline && (
                <>
                  <th scope="col">Host</th><th scope="col">State</th>
                  <th scope="col" class="number">Committed</th><th scope="col" class="number">Lag</th>
                </>
              )}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: chosen.topic_partitions }, (_, index) => {
              // Rows stand before their figures are here, so that nothing jumps.
              const one = found?.topic_partitions[index];
              const figure = (value: number | null | undefined) => (value == null ? (one ? "–" : "…") : grouped(value));
              return (
                <tr key={index}>
                  <th scope="row" class="number">{one?.topic_partition ?? index}</th>
                  <td class="number">{figure(one?.low)}</td>
                  <td class="number">{figure(one?.high)}</td>
                  <td>{one ? (one.leader === null ? "none" : `broker ${one.leader}`) : "…"}</td>
                  <td>{one ? `${one.in_sync.length} of ${one.replicas.length}` : "…"}</td>
                  {chosen.of_pipeline && (
                    <>
                      <td>{one ? (one.pipeline?.machine ?? "no host") : "…"}</td>
                      <td>{one?.pipeline ? <span class={`state ${one.pipeline.state}`}>{one.pipeline.state}</span> : "–"}</td>
                      <td class="number">{figure(one?.pipeline?.committed)}</td>
                      <td class="number">{figure(one?.pipeline?.lag)}</td>
                    </>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {chosen.of_pipeline && (
        <p class="quiet">Committed is the pipeline's own position, which stands beside its data, as hosts told it some seconds ago.</p>
      )}
      <Settings settings={found?.settings} />
      {who.roles.includes(role) ? (
        <Messages topic={chosen.name} topicPartitions={chosen.topic_partitions} />
      ) : (
        <p class="quiet">Messages of this topic are shown to tokens with the role {role}.</p>
      )}
    </section>
  );
}

function Settings({ settings }: { settings: Topic["settings"] | undefined }) {
  const own = settings?.filter((one) => one.own).length;
  return (
    <details>
      <summary>Settings ({own === undefined ? "…" : grouped(own)} of its own)</summary>
      {settings?.length === 0 && <p>The pipeline's user may not see them: it needs DESCRIBE_CONFIGS on the topic.</p>}
      <div class="wide listed" tabIndex={0} role="region" aria-label="Settings">
        <table>
          <thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">Set</th></tr></thead>
          <tbody>
            {settings?.map((one) => (
              <tr key={one.name}>
                <th scope="row">{one.name}</th>
                <td>{one.value ?? "not told"}</td>
                <td>{one.own ? "for this topic" : "by default"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function Groups({ turn }: { turn: number }) {
  const [found, setFound] = useState<{ of_pipeline: string; groups: ConsumerGroup[] } | null>(null);
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  useEffect(() => {
    consumerGroups().then((told) => (setFound(told), setProblem("")), (error) => setProblem(said(error)));
  }, [turn]);
  return (
    <section aria-labelledby="groups">
      <h3 id="groups">Consumer groups</h3>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {found && found.groups.length === 0 && (
        <p class="quiet">None yet: a group comes with its first member. This pipeline's is <code>{found.of_pipeline}</code>.</p>
      )}
      {found && found.groups.length > 0 && (
        <div class="wide listed" tabIndex={0} role="region" aria-label="All consumer groups">
          <table>
            <thead>
              <tr><th scope="col">Group</th><th scope="col">State</th><th scope="col" class="number">Members</th><th scope="col">Of</th></tr>
            </thead>
            <tbody>
              {found.groups.map((one) => (
                <tr key={one.group}>
                  <th scope="row">
                    <button class="link" aria-pressed={one.group === chosen} onClick={() => setChosen(one.group)}>{one.group}</button>
                  </th>
                  <td>{one.state ?? "–"}</td>
                  <td class="number">{one.members === null ? "–" : grouped(one.members)}</td>
                  <td>{one.group === found.of_pipeline ? "this pipeline" : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {chosen !== null && <Lag key={`${chosen} ${turn}`} group={chosen} isPipelines={chosen === found?.of_pipeline} />}
    </section>
  );
}

function Lag({ group, isPipelines }: { group: string; isPipelines: boolean }) {
  const [positions, setPositions] = useState<GroupPosition[] | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => void groupPositions(group).then(setPositions, (error) => setProblem(said(error))), []);
  if (problem) return <p role="alert" class="trouble">{problem}</p>;
  if (!positions) return <p class="quiet">Asking for the offsets of {group}</p>;
  const sum = positions.reduce((sum, one) => sum + one.lag, 0);
  return (
    <>
      <p role="status">
        {positions.length === 0
          ? `${group} has committed nothing.`
          : `${group} is ${grouped(sum)} offsets behind in ${grouped(positions.length)} topic partitions.`}
        {isPipelines && " For the pipeline this is a hint for others: its own positions stand beside its data."}
      </p>
      {positions.length > 0 && (
        <div class="wide listed" tabIndex={0} role="region" aria-label={`Offsets of ${group}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Topic partition</th><th scope="col" class="number">Committed</th>
                <th scope="col" class="number">End</th><th scope="col" class="number">Lag</th>
              </tr>
            </thead>
            <tbody>
              {positions.map((one) => (
                <tr key={`${one.topic}/${one.topic_partition}`}>
                  <th scope="row">{one.topic}/{one.topic_partition}</th>
                  <td class="number">{grouped(one.committed)}</td>
                  <td class="number">{grouped(one.high)}</td>
                  <td class="number">{grouped(one.lag)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import {
  type DeadLetter,
  type DeadLetters,
  type Replayed,
  type Session,
  type WholeLetter,
  deadLetters,
  deadLettersOf,
  replay,
  said,
} from "./api";
import { grouped } from "./figures";

const HOUR_MS = 3_600_000;
const PERIODS: [string, number | null][] = [
  ["the last hour", HOUR_MS],
  ["the last day", 24 * HOUR_MS],
  ["the last week", 7 * 24 * HOUR_MS],
  ["all time", null],
];
/** Reasons with a colour of their own; the others share the last one. */
const COLOURS = 5;
/** So that one busy span is no wall of colour. */
const FEWEST_BARS = 24;

export function DeadLettersPage({ who }: { who: Session }) {
  const [periodMs, setPeriod] = useState<number | null>(24 * HOUR_MS);
  const [reason, setReason] = useState("");
  const [replayed, setReplayed] = useState(false);
  const [found, setFound] = useState<DeadLetters | null>(null);
  const [reasons, setReasons] = useState<string[]>([]);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState<DeadLetter | null>(null);
  const asked = useRef(0);
  const look = async () => {
    const turn = ++asked.current;
    try {
      const told = await deadLetters({ reason, sinceMs: periodMs === null ? null : Date.now() - periodMs, replayed });
      // Only the answer to what was asked last counts.
      if (turn !== asked.current) return;
      setFound(told);
      setReasons((known) => [...new Set([...known, ...told.by_reason.map((kind) => kind.reason)])].sort());
      setProblem("");
    } catch (error) {
      if (turn === asked.current) setProblem(said(error));
    }
  };
  useEffect(() => void look(), [periodMs, reason, replayed]);
  return (
    <>
      <h2>Dead letters</h2>
      <form class="row" onSubmit={(event) => { event.preventDefault(); void look(); }}>
        <label for="period">Recorded in</label>
        <select id="period" onChange={(event) => setPeriod(PERIODS[event.currentTarget.selectedIndex]![1])}>
          {PERIODS.map(([name, ms]) => <option key={name} selected={ms === periodMs}>{name}</option>)}
        </select>
        <label for="reason">Reason</label>
        <select id="reason" value={reason} onChange={(event) => setReason(event.currentTarget.value)}>
          <option value="">all</option>
          {reasons.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
        <label><input type="checkbox" checked={replayed} onChange={(event) => setReplayed(event.currentTarget.checked)} /> Those that were replayed, too</label>
        <button type="submit">Look again</button>
      </form>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {found && <Found found={found} reasons={reasons} onShow={who.roles.includes("payloads") ? setShown : null} />}
      {found && who.roles.includes("deployer") && <Replay reason={reason} onDone={look} />}
      {shown && <Whole message={shown} onClose={() => setShown(null)} />}
    </>
  );
}

type Show = ((letter: DeadLetter) => void) | null;

function Found({ found, reasons, onShow }: { found: DeadLetters; reasons: string[]; onShow: Show }) {
  const colour = (reason: string) => `colour-${Math.min(Math.max(reasons.indexOf(reason), 0), COLOURS - 1)}`;
  if (found.count === 0) {
    return (
      <p role="status">
        None{found.replayed > 0 && `, but ${grouped(found.replayed)} that were replayed`}. What cannot go on comes here with its
        reason; look at a longer time, or at all reasons.
      </p>
    );
  }
  return (
    <>
      <p role="status">
        {grouped(found.count)} dead letters{found.replayed > 0 && `, ${grouped(found.replayed)} replayed`}
      </p>
      <Chart found={found} colour={colour} />
      <div class="wide" tabIndex={0} role="region" aria-label="By reason">
        <table>
          <thead>
            <tr><th scope="col">Reason</th><th scope="col">Stage</th><th scope="col">Transform</th><th scope="col" class="number">Count</th></tr>
          </thead>
          <tbody>
            {found.by_reason.map((kind) => (
              <tr key={`${kind.reason} ${kind.stage} ${kind.transform}`}>
                <th scope="row"><span class={`swatch ${colour(kind.reason)}`} /> {kind.reason}</th>
                <td>{kind.stage}</td>
                <td>{kind.transform ?? "–"}</td>
                <td class="number">{grouped(kind.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <h3 id="latest">The latest</h3>
      {!onShow && <p class="quiet">What they hold is shown to tokens with the role payloads.</p>}
      <div class="wide" tabIndex={0} role="region" aria-labelledby="latest">
        <table>
          <thead>
            <tr>
              <th scope="col">Message</th><th scope="col">Recorded</th><th scope="col">Reason</th>
              <th scope="col">Transform</th><th scope="col">What was found</th>
            </tr>
          </thead>
          <tbody>
            {found.latest.map((letter) => {
              const name = `${letter.topic}/${letter.topic_partition}@${letter.offset}`;
              return (
                <tr key={`${name} ${letter.recorded_at} ${letter.message}`}>
                  <th scope="row">{onShow ? <button class="link" onClick={() => onShow(letter)}>{name}</button> : name}</th>
                  <td>{letter.recorded_at.slice(0, 19).replace("T", " ")}</td>
                  <td>{letter.reason}{letter.replayed && ", replayed"}</td>
                  <td>{letter.transform ? `${letter.transform}@${letter.version}` : "–"}</td>
                  <td>{letter.message}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Bars by span of time, one colour for each reason. */
function Chart({ found, colour }: { found: DeadLetters; colour: (reason: string) => string }) {
  const spans = found.over_time;
  const [first, last] = [spans[0]!, spans[spans.length - 1]!];
  const width = first.to_ms - first.from_ms;
  const count = Math.max((last.to_ms - first.from_ms) / width, FEWEST_BARS);
  const fromMs = last.to_ms - count * width;
  const sums = new Map<number, number>();
  for (const span of spans) sums.set(span.from_ms, (sums.get(span.from_ms) ?? 0) + span.count);
  const most = Math.max(...sums.values());
  const below = new Map<number, number>();
  const time = (ms: number) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  return (
    <figure>
      <svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img"
        aria-label={`Dead letters from ${time(fromMs)} to ${time(last.to_ms)}, at most ${most} in ${width / 60_000} minutes`}>
        {spans.map((span) => {
          const height = (span.count / most) * 30;
          const at = (below.get(span.from_ms) ?? 0) + height;
          below.set(span.from_ms, at);
          const x = ((span.from_ms - fromMs) / width / count) * 100;
          return (
            <rect key={`${span.from_ms} ${span.reason}`} class={colour(span.reason)} x={x} y={30 - at}
              width={(100 / count) * 0.9} height={height}>
              <title>{`${time(span.from_ms)}: ${span.count} ${span.reason}`}</title>
            </rect>
          );
        })}
      </svg>
      <figcaption class="quiet">
        {time(fromMs)} to {time(last.to_ms)} UTC, at most {grouped(most)} in {grouped(width / 60_000)} min
      </figcaption>
    </figure>
  );
}

/** First what would be, then why, then it is done. */
function Replay({ reason, onDone }: { reason: string; onDone: () => void }) {
  const [tried, setTried] = useState<Replayed | null>(null);
  const [told, setTold] = useState("");
  const [isBusy, setBusy] = useState(false);
  useEffect(() => setTried(null), [reason]);
  const go = async (why?: string) => {
    setBusy(true);
    setTold("");
    try {
      const answer = await replay(reason, why);
      setTried(why ? null : answer);
      const { replayed, written, filtered, dead_lettered, left_alone } = answer.total;
      const alone = left_alone.no_payload + left_alone.several_rows + left_alone.file_gone;
      const stopped = answer.topic_partitions.flatMap((part) => (part.problem ? [part.problem] : []));
      setTold(
        `${why ? "Done" : "It would be so"}: ${grouped(replayed)} replayed through deployment ${answer.deployment}, ` +
          `${grouped(written)} rows written, ${grouped(filtered)} filtered, ${grouped(dead_lettered)} dead letters again, ` +
          `${grouped(alone)} left alone. ${stopped.join(" ")}`,
      );
      if (why) onDone();
    } catch (error) {
      setTold(`Not done: ${said(error)}`);
    }
    setBusy(false);
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void go(new FormData(event.currentTarget as HTMLFormElement).get("why") as string);
  };
  return (
    <section aria-labelledby="replay">
      <h3 id="replay">Replay</h3>
      <p class="quiet">
        Sends {reason ? `those of reason ${reason}` : "all of them"}, of any time, through the present deployment once more, each exactly once.
      </p>
      {tried && tried.total.replayed > 0 ? (
        <form class="row" onSubmit={submit}>
          <label for="why">Why</label>
          <input id="why" name="why" required maxLength={1024} placeholder="It is recorded" />
          <button type="submit" disabled={isBusy}>Replay {grouped(tried.total.replayed)}</button>
        </form>
      ) : (
        <button onClick={() => go()} disabled={isBusy}>Try a replay</button>
      )}
      <p role="status">{told}</p>
    </section>
  );
}

const content = (content: WholeLetter["payload"]) =>
  content === null ? "none" : "text" in content ? content.text : `base64: ${content.base64}`;

/** All that the dead letters of one message hold. */
function Whole({ message, onClose }: { message: DeadLetter; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [letters, setLetters] = useState<WholeLetter[] | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    dialog.current?.showModal();
    deadLettersOf(message).then(setLetters, (error) => setProblem(said(error)));
  }, []);
  const name = `${message.topic}/${message.topic_partition}@${message.offset}`;
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="letter">
      <h3 id="letter">{name}</h3>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      {letters?.map((letter, index) => (
        <dl class="facts" key={index}>
          <dt>Reason</dt><dd>{letter.reason}: {letter.message}</dd>
          <dt>Stage</dt>
          <dd>{letter.stage}{letter.transform && `, ${letter.transform}@${letter.version}`}{letter.deployment !== null && `, deployment ${letter.deployment}`}</dd>
          <dt>Recorded</dt><dd>{letter.recorded_at}{letter.replayed && ", replayed since"}</dd>
          <dt>Message's time</dt><dd>{letter.timestamp ?? "none"}</dd>
          <dt>Key</dt><dd>{content(letter.key)}</dd>
          {letter.headers.map(([header, value], at) => [<dt key={at}>Header {header}</dt>, <dd>{content(value)}</dd>])}
          <dt>Payload</dt><dd><pre tabIndex={0}>{content(letter.payload)}</pre></dd>
        </dl>
      ))}
      <form method="dialog"><button>Close</button></form>
    </dialog>
  );
}

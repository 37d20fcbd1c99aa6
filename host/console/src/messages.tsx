import { useEffect, useRef, useState } from "preact/hooks";
import { said } from "./api";
import { type Message, type Page, type Place, follow, messages, wholeMessage } from "./cluster";
import { grouped } from "./figures";
import { MessageList, shownContent, shownTime } from "./message-list";

/** Messages that one question asks for, and those that the page keeps. */
const ASKED = 500;
const KEPT = 20_000;
const SEARCHED = [1_000, 10_000, 100_000];

type Start = "latest" | "beginning" | "offset" | "time";

/** What the form says. */
interface Form {
  topicPartition: number | null;
  start: Start;
  offset: string;
  time: string;
  contains: string;
  scan: number;
}

const FIRST: Form = { topicPartition: null, start: "latest", offset: "", time: "", contains: "", scan: 10_000 };

/** What was found so far, from where to where. */
interface Found {
  form: Form;
  list: Message[];
  scanned: number;
  from: Place[];
  next: Place[];
  ended: Page["ended"];
  isFirst: boolean;
}

const name = (one: Message) => `${one.topic_partition} ${one.offset}`;

/** Without those that are there already. */
function others(fresh: Message[], known: Message[]): Message[] {
  const names = new Set(known.map(name));
  return fresh.filter((one) => !names.has(name(one)));
}

function told({ form, list, scanned, ended, isFirst }: Found): string {
  const what = form.contains
    ? `Searched ${grouped(scanned)} messages, found ${grouped(list.length)}.`
    : `${grouped(list.length)} messages.`;
  const why = {
    end: "That is the end as it is now.",
    limit: "There are more: read on.",
    scanned: "That is not the end: read on.",
    time: "It took ten seconds, and that is not the end: read on.",
  }[ended];
  return `${what} ${why}${isFirst ? " They begin with the first that Kafka has." : ""}`;
}

export function Messages({ topic, topicPartitions }: { topic: string; topicPartitions: number }) {
  const [form, setForm] = useState(FIRST);
  const [found, setFound] = useState<Found | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const [shown, setShown] = useState<Message | null>(null);
  const following = useFollowing(topic, setProblem);
  const ask = async (work: () => Promise<Found>) => {
    following.forget();
    setBusy(true);
    setProblem("");
    try {
      setFound(await work());
    } catch (error) {
      setProblem(said(error));
    }
    setBusy(false);
  };
  const look = () =>
    ask(async () => {
      const page = await messages(topic, { ...wanted(form, topicPartitions), limit: ASKED });
      return { ...page, form, list: page.messages, isFirst: form.start === "beginning" };
    });
  const readOn = (so: Found) =>
    ask(async () => {
      const page = await messages(topic, { ...wanted(so.form, topicPartitions), from: so.next, limit: ASKED });
      const list = [...so.list, ...others(page.messages, so.list)].slice(-KEPT);
      return { ...so, list, scanned: so.scanned + page.scanned, next: page.next, ended: page.ended };
    });
  const goBack = (so: Found) =>
    ask(async () => {
      const all = so.form.contains ? so.form.scan : ASKED;
      const share = Math.max(1, Math.floor(all / so.from.length));
      const from = so.from.map((one) => ({ ...one, offset: Math.max(0, one.offset - share) }));
      const page = await messages(topic, { ...wanted(so.form, topicPartitions), from, limit: ASKED, scan: share * from.length });
      const list = [...others(page.messages, so.list), ...so.list].slice(0, KEPT);
      const isFirst = page.from.every((one, index) => one.offset >= so.from[index]!.offset || one.offset > from[index]!.offset);
      return { ...so, list, scanned: so.scanned + page.scanned, from: page.from, isFirst };
    });
  const list = following.since ? following.list : (found?.list ?? []);
  return (
    <section aria-labelledby="messages">
      <h4 id="messages">Messages</h4>
      <Question form={form} onForm={setForm} topicPartitions={topicPartitions} isBusy={isBusy} onLook={look}
        isFollowing={following.isOn} onFollow={() => following.start(form)} onStop={following.stop} />
      {problem && <p role="alert" class="trouble">{problem}</p>}
      <p role="status" class="live">
        {isBusy ? "Looking" : following.since ? following.told : found ? told(found) : "Look at the latest, or say where to begin. Nothing is committed, and no group is joined."}
      </p>
      <MessageList list={list} sticks={following.isOn} onOpen={setShown} />
      <div class="row">
        <button disabled={isBusy || !found || following.since} onClick={() => found && goBack(found)}>Older</button>
        <button disabled={isBusy || !found || following.since} onClick={() => found && readOn(found)}>Read on</button>
      </div>
      {shown && <Whole key={`${shown.topic_partition} ${shown.offset}`} topic={topic} message={shown} onClose={() => setShown(null)} />}
    </section>
  );
}

function wanted(form: Form, topicPartitions: number) {
  const { topicPartition, contains, scan } = form;
  const numbers = topicPartition === null ? Array.from({ length: topicPartitions }, (_, number) => number) : [topicPartition];
  const at = (offset: number) => numbers.map((topic_partition) => ({ topic_partition, offset }));
  const plain = { topicPartition, contains, scan };
  if (form.start === "beginning") return { ...plain, from: at(0) };
  if (form.start === "offset") return { ...plain, from: at(Number(form.offset)) };
  if (form.start === "time") return { ...plain, timeMs: Date.parse(`${form.time}Z`) };
  return plain;
}

/** Messages as they come. */
function useFollowing(topic: string, onProblem: (words: string) => void) {
  const end = useRef<(() => void) | null>(null);
  const [list, setList] = useState<Message[]>([]);
  const [isOn, setOn] = useState(false);
  const [since, setSince] = useState(false);
  const [scanned, setScanned] = useState(0);
  const [passedOver, setPassedOver] = useState(0);
  useEffect(() => () => end.current?.(), []);
  const halt = () => {
    end.current?.();
    end.current = null;
    setOn(false);
  };
  const start = (form: Form) => {
    halt();
    onProblem("");
    setList([]);
    setScanned(0);
    setPassedOver(0);
    setOn(true);
    setSince(true);
    end.current = follow(topic, form.topicPartition, form.contains, {
      onTick: (tick) => {
        if (tick.messages.length > 0) setList((known) => [...known, ...tick.messages].slice(-KEPT));
        setScanned((known) => known + tick.scanned);
        setPassedOver((known) => known + tick.passed_over);
      },
      onEnd: (words) => {
        setOn(false);
        onProblem(`It is followed no more: ${words}`);
      },
    });
  };
  const passed = passedOver > 0 ? `, ${grouped(passedOver)} passed over, as more came than can be shown` : "";
  const words = `${isOn ? "Following" : "Followed"}: ${grouped(list.length)} messages of ${grouped(scanned)} that came${passed}.`;
  const forget = () => {
    halt();
    setSince(false);
  };
  // What was followed stays until something else is asked for.
  return { list, isOn, since, told: words, start, stop: halt, forget };
}

interface QuestionProps {
  form: Form;
  onForm: (form: Form) => void;
  topicPartitions: number;
  isBusy: boolean;
  isFollowing: boolean;
  onLook: () => void;
  onFollow: () => void;
  onStop: () => void;
}

/**
 * Which messages. All fields stand there all the time, so that nothing jumps. No field is called as a method of a form is: an
 * input with the id "contains" would hide it from whoever asks what the form contains.
 */
function Question({ form, onForm, topicPartitions, isBusy, isFollowing, onLook, onFollow, onStop }: QuestionProps) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    onLook();
  };
  return (
    <form class="question" onSubmit={submit}>
      <div>
        <label for="topic-partition">Topic partition</label>
        <select id="topic-partition" value={form.topicPartition ?? ""}
          onChange={({ currentTarget: { value } }) => onForm({ ...form, topicPartition: value === "" ? null : Number(value) })}>
          <option value="">all</option>
          {Array.from({ length: topicPartitions }, (_, number) => <option key={number} value={number}>{number}</option>)}
        </select>
      </div>
      <div>
        <label for="start">From</label>
        <select id="start" value={form.start} onChange={({ currentTarget: { value } }) => onForm({ ...form, start: value as Start })}>
          <option value="latest">the latest</option>
          <option value="beginning">the beginning</option>
          <option value="offset">an offset</option>
          <option value="time">a time</option>
        </select>
      </div>
      <div>
        <label for="offset">Offset</label>
        <input id="offset" type="number" min="0" step="1" value={form.offset} disabled={form.start !== "offset"} required
          onInput={({ currentTarget: { value } }) => onForm({ ...form, offset: value })} />
      </div>
      <div>
        <label for="time">Time (UTC)</label>
        <input id="time" type="datetime-local" step="1" value={form.time} disabled={form.start !== "time"} required
          onInput={({ currentTarget: { value } }) => onForm({ ...form, time: value })} />
      </div>
      <div>
        <label for="searched-text">Contains</label>
        <input id="searched-text" value={form.contains} maxLength={250} placeholder="as it is written"
          onInput={({ currentTarget: { value } }) => onForm({ ...form, contains: value })} />
      </div>
      <div>
        <label for="scan">Search at most</label>
        <select id="scan" value={form.scan} onChange={({ currentTarget: { value } }) => onForm({ ...form, scan: Number(value) })}>
          {SEARCHED.map((count) => <option key={count} value={count}>{grouped(count)} messages</option>)}
        </select>
      </div>
      <div class="row">
        <button type="submit" disabled={isBusy}>Look</button>
        {isFollowing
          ? <button type="button" onClick={onStop}>Stop</button>
          : <button type="button" disabled={isBusy} onClick={onFollow}>Follow</button>}
      </div>
    </form>
  );
}

/** JSON is easier to read by lines. */
function laidOut(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** All of one message. */
function Whole({ topic, message, onClose }: { topic: string; message: Message; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [one, setOne] = useState(message);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    dialog.current?.showModal();
    if (!message.cut) return;
    wholeMessage(topic, message).then(
      (whole) => (whole ? setOne(whole) : setProblem("Kafka has it no more.")),
      (error) => setProblem(said(error)),
    );
  }, []);
  const { payload } = one;
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="message">
      <h3 id="message">{topic}/{one.topic_partition}@{one.offset}</h3>
      {problem && <p role="alert" class="trouble">{problem}</p>}
      <dl class="facts">
        <dt>Time</dt><dd>{shownTime(one.timestamp_ms)}</dd>
        <dt>Key</dt><dd>{shownContent(one.key)}</dd>
        {one.headers.map(({ name, value }, at) => [<dt key={at}>Header {name}</dt>, <dd>{shownContent(value)}</dd>])}
        {one.problem && [<dt key="problem">No event</dt>, <dd><strong>{one.problem.reason}</strong>: {one.problem.detail}</dd>]}
        {one.schema !== null && [<dt key="schema">Schema</dt>, <dd>{one.schema}</dd>]}
        {one.decoded !== null && [<dt key="decoded">Decoded</dt>, <dd><pre tabIndex={0}>{JSON.stringify(one.decoded, null, 2)}</pre></dd>]}
        <dt>Payload</dt>
        <dd>
          {payload === null ? "none: a tombstone" : `${grouped(one.payload_bytes)} bytes${one.cut ? ", of which these are the first" : ""}`}
          {payload !== null && <pre tabIndex={0}>{"text" in payload ? laidOut(payload.text) : payload.hex.replace(/(..)/g, "$1 ")}</pre>}
        </dd>
      </dl>
      <form method="dialog"><button>Close</button></form>
    </dialog>
  );
}

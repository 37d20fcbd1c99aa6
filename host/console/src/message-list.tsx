import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Content, Message } from "./cluster";

/** Height of a row in pixels, as style.css has it, and rows that are made beyond what is seen. */
const ROW = 36;
const BEYOND = 10;
/** Letters of a payload that a row can show. */
const PREVIEW = 400;

export const shownContent = (content: Content | null) =>
  content === null ? "none" : "text" in content ? content.text : `hex: ${content.hex}`;

export const shownTime = (ms: number | null) =>
  ms === null ? "none" : new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");

const preview = ({ decoded, payload }: Message) =>
  (decoded !== null ? JSON.stringify(decoded) : payload === null ? "none: a tombstone" : shownContent(payload)).slice(0, PREVIEW);

const name = (one: Message | undefined) => one && `${one.topic_partition} ${one.offset}`;

interface Props {
  list: Message[];
  /** Whoever is at the end stays there when more comes. */
  sticks: boolean;
  onOpen: (message: Message) => void;
}

/** A list of which only what is seen is in the page: ten thousand messages cost as much as thirty. */
export function MessageList({ list, sticks, onOpen }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(0);
  const [active, setActive] = useState(0);
  const last = useRef({ first: undefined as string | undefined, length: 0, atEnd: true });
  useLayoutEffect(() => {
    const element = box.current!;
    setHeight(element.clientHeight);
    const { first, length, atEnd } = last.current;
    // What was looked at stays where it is when older ones come before it.
    const shift = first === undefined || first === name(list[0]) ? 0 : list.findIndex((one) => name(one) === first);
    if (shift > 0) {
      element.scrollTop += shift * ROW;
      setActive((active) => active + shift);
    } else if (shift < 0 || list.length < length) {
      element.scrollTop = sticks ? element.scrollHeight : 0;
      setActive(0);
    } else if (sticks && atEnd) {
      element.scrollTop = element.scrollHeight;
    }
    last.current = { ...last.current, first: name(list[0]), length: list.length };
    setTop(element.scrollTop);
  }, [list]);
  const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const to = Math.min(list.length, Math.ceil((top + height) / ROW) + BEYOND);
  const go = (to: number) => {
    const element = box.current!;
    const next = Math.min(Math.max(to, 0), list.length - 1);
    setActive(next);
    if (next * ROW < element.scrollTop) element.scrollTop = next * ROW;
    const below = (next + 1) * ROW - element.clientHeight;
    if (below > element.scrollTop) element.scrollTop = below;
  };
  const press = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(height / ROW) - 1);
    const steps: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: list.length - 1,
    };
    const to = steps[event.key];
    if (list.length === 0) return;
    if (to !== undefined) go(to);
    else if (event.key === "Enter" || event.key === " ") onOpen(list[active]!);
    else return;
    event.preventDefault();
  };
  const scroll = () => {
    const element = box.current!;
    setTop(element.scrollTop);
    last.current.atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - ROW;
  };
  const isThere = active >= from && active < to;
  return (
    <div ref={box} class="messages" role="listbox" tabIndex={0} aria-label="Messages that were found" onScroll={scroll}
      onKeyDown={press} aria-activedescendant={isThere ? `message-${active}` : undefined}>
      <div role="presentation" style={{ height: `${list.length * ROW}px` }}>
        {list.slice(from, to).map((one, index) => {
          const at = from + index;
          return (
            <div key={name(one)} id={`message-${at}`} class="message" role="option" aria-selected={at === active}
              aria-setsize={list.length} aria-posinset={at + 1} style={{ transform: `translateY(${at * ROW}px)` }}
              onClick={() => (setActive(at), onOpen(one))}>
              <span>{one.topic_partition}@{one.offset}</span>
              <span class="when">{shownTime(one.timestamp_ms).slice(0, 23)}</span>
              <span class="key">{one.key === null ? "–" : shownContent(one.key)}</span>
              <span>{one.problem && <strong>{one.problem.reason}</strong>} {preview(one)}</span>
            </div>
          );
        })}
      </div>
    </div>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { moment } from "./figures";
import { type Line, follow } from "./transforms-api";

/** Older ones leave the page. */
const MOST_LINES = 500;
const HOUR_MS = 3_600_000;
const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

/** What the guests log, as it comes. */
export function GuestLines({ transforms }: { transforms: string[] }) {
  const [transform, setTransform] = useState("");
  const [level, setLevel] = useState<string>("info");
  const [isFollowing, setFollowing] = useState(true);
  const { lines, trouble, isThere } = useLines(transform, level, isFollowing);
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const scrolled = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!;
    isAtEnd.current = scrollTop + clientHeight >= scrollHeight - 20;
  };
  return (
    <section aria-labelledby="lines">
      <h3 id="lines">Logs</h3>
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="of">Of transform</label>
        <select id="of" value={transform} onChange={(event) => setTransform(event.currentTarget.value)}>
          <option value="">all</option>
          {transforms.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
        <label for="level">At least</label>
        <select id="level" value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
          {LEVELS.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
        <button type="button" aria-pressed={isFollowing} onClick={() => setFollowing(!isFollowing)}>Follow</button>
      </form>
      <p class="live" role="status">
        {trouble ?? (!isFollowing ? "Stopped; new lines do not come here." : !isThere ? "Connecting" : lines.length === 0 ? "No line of the last hour. A transform logs with the SDK's log macros; hosts tell of it every ten seconds." : "New lines come every ten seconds.")}
      </p>
      <div class="lines" ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-labelledby="lines">
        {lines.map((line) => (
          <p key={`${line.host} ${line.number}`} class={line.level}>
            {moment(line.at_ms)} {line.level} {line.transform}@{line.version} ({line.deployment}) {line.machine}: {line.text}
          </p>
        ))}
      </div>
    </section>
  );
}

/** The last lines; what was there stays when following stops. */
function useLines(transform: string, level: string, isFollowing: boolean) {
  const [lines, setLines] = useState<Line[]>([]);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isThere, setThere] = useState(false);
  const wanted = useRef("");
  /** The last line of each host: their numbers rise. */
  const seen = useRef(new Map<string, number>());
  useEffect(() => {
    if (wanted.current !== `${transform} ${level}`) {
      setLines([]);
      seen.current.clear();
    }
    wanted.current = `${transform} ${level}`;
    setThere(false);
    setTrouble(null);
    if (!isFollowing) return;
    const keep = (line: Line) => {
      // After a connection was lost, and after following was taken up again, the host tells of all once more.
      if (line.number <= (seen.current.get(line.host) ?? -1)) return;
      seen.current.set(line.host, line.number);
      setLines((known) => [...known, line].slice(-MOST_LINES));
    };
    const told = (words: string | null) => {
      setTrouble(words);
      if (words === null) setThere(true);
    };
    return follow({ transform, level, sinceMs: Date.now() - HOUR_MS, onLine: keep, onTrouble: told });
  }, [transform, level, isFollowing]);
  return { lines, trouble, isThere };
}

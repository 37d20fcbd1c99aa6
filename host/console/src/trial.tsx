import { type ComponentChildren } from "preact";
import { bytes, grouped } from "./figures";
import { Changes } from "./changes";
import { type Fate, type Ordered, type Rehearsal, type Row, type Side } from "./transforms-api";

/** What a deployment would mean: what changes, the columns, and what became of recent events. */
export function Trial({ proposal, refused, present, seesPayloads }: {
  proposal: NonNullable<Ordered["proposal"]>;
  refused: string | undefined;
  present: number;
  seesPayloads: boolean;
}) {
  const { deployment, difference, rehearsal } = proposal;
  return (
    <>
      {refused && <p role="alert" class="trouble">It would be refused: {refused}</p>}
      <h4>What changes from deployment {present}</h4>
      <Changes difference={difference} />
      <p class="quiet">Columns that go to the table: {deployment.columns.map(({ name, type, nullable }) => `${name} ${type}${nullable ? "" : "!"}`).join(", ")}</p>
      {rehearsal ? (
        <Rehearsed rehearsal={rehearsal} present={present} seesPayloads={seesPayloads} />
      ) : (
        <p class="quiet">It was not tried on any events.</p>
      )}
    </>
  );
}

function Rehearsed({ rehearsal, present, seesPayloads }: { rehearsal: Rehearsal; present: number; seesPayloads: boolean }) {
  const { changed, sampled } = rehearsal;
  return (
    <>
      <h4 id="sample">Sample run on {grouped(rehearsal.events)} recent events</h4>
      {rehearsal.events === 0 && <p class="quiet">The source has none yet.</p>}
      {rehearsal.undecodable > 0 && <p class="quiet">{grouped(rehearsal.undecodable)} of them are not of the schema; no transform saw them.</p>}
      <Beside rehearsal={rehearsal} present={present} />
      {!seesPayloads && <p class="quiet">Which events differ, and what became of them, is shown to tokens with the role payloads.</p>}
      {changed && (
        <ul class="changes">
          <Kind name="Kept only by the new one" kind={changed.kept_now} />
          <Kind name={`Kept only by deployment ${present}`} kind={changed.kept_before} />
          <Kind name="Kept by both with other values" kind={changed.other_values} />
        </ul>
      )}
      {sampled.length > 0 && <Events sampled={sampled} present={present} />}
    </>
  );
}

const Kind = ({ name, kind }: { name: string; kind: { count: number; first: string[] } }) => (
  <li>
    {name}: {grouped(kind.count)}
    {kind.first.length > 0 && ` (${kind.first.join(", ")}${kind.count > kind.first.length ? ", …" : ""})`}
  </li>
);

/** The two deployments side by side. */
function Beside({ rehearsal, present }: { rehearsal: Rehearsal; present: number }) {
  const sides = [rehearsal.present, rehearsal.new];
  const known = sides.flatMap((side) => (side ? [side] : []));
  const names = (of: (side: Side) => string[]) => [...new Set(known.flatMap(of))];
  const row = (name: ComponentChildren, value: (side: Side) => string) => (
    <tr>
      <th scope="row">{name}</th>
      {sides.map((side, index) => <td class="number" key={index}>{side ? value(side) : "–"}</td>)}
    </tr>
  );
  const deadLetters = (side: Side) => Object.values(side.dead_lettered).reduce((a, b) => a + b, 0);
  return (
    <div class="wide" tabIndex={0} role="region" aria-labelledby="sample">
      <table>
        <thead>
          <tr><th scope="col">What became of them</th><th scope="col" class="number">Deployment {present}</th><th scope="col" class="number">The new one</th></tr>
        </thead>
        <tbody>
          {row("Kept", (side) => grouped(side.kept))}
          {row("Filtered", (side) => grouped(side.filtered))}
          {row("Dead letters", (side) => grouped(deadLetters(side)))}
          {names((side) => Object.keys(side.dead_lettered)).map((cause) => row(`of these ${cause}`, (side) => grouped(side.dead_lettered[cause] ?? 0)))}
          {row("Failed calls", (side) => grouped(side.failed_calls))}
          {row("Time for one event", (side) => `${side.us_per_event.toFixed(2)} µs`)}
          {names((side) => side.transforms.map((one) => one.name)).map((name) =>
            row(`of this ${name}`, (side) => {
              const one = side.transforms.find((other) => other.name === name);
              return one ? `${(one.busy_us / Math.max(one.events, 1)).toFixed(2)} µs` : "–";
            }),
          )}
          {row("Memory", (side) => bytes(side.memory_bytes))}
        </tbody>
      </table>
    </div>
  );
}

/** Some of the events, with what became of each. */
function Events({ sampled, present }: { sampled: Rehearsal["sampled"]; present: number }) {
  const differing = sampled.filter((one) => one.differs).length;
  return (
    <>
      <h4 id="events">{differing > 0 ? "Events that differ, and others" : "Some of the events"}</h4>
      <div class="wide" tabIndex={0} role="region" aria-labelledby="events">
        <table>
          <thead>
            <tr><th scope="col">Message</th><th scope="col">As it came</th><th scope="col">Deployment {present}</th><th scope="col">The new one</th></tr>
          </thead>
          <tbody>
            {sampled.map((one) => (
              <tr key={one.message} class={one.differs ? "differs" : undefined}>
                <th scope="row">{one.message}{one.differs && <><br /><strong>differs</strong></>}</th>
                <td class="values">{values(one.event)}</td>
                <td class="values">{one.present ? fate(one.present, one.event) : "–"}</td>
                <td class="values">{fate(one.new, one.event)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

const values = (row: Row) => Object.entries(row).map(([name, value]) => `${name}=${text(value)}`).join(", ");

/** What became of an event: of a row that was kept only the columns that are not as they came. */
function fate(fate: Fate, event: Row): string {
  if (fate.fate === "filtered") return "filtered";
  if (fate.fate === "dead-letter") return `dead letter by ${fate.transform}, ${fate.reason}: ${fate.detail}`;
  const rows = fate.rows.map((row) => {
    const others = Object.entries(row).filter(([name, value]) => text(value) !== text(event[name]));
    const gone = Object.keys(event).filter((name) => !(name in row));
    const words = [...others.map(([name, value]) => `${name}=${text(value)}`), ...gone.map((name) => `without ${name}`)];
    return words.length > 0 ? words.join(", ") : "as it came";
  });
  return `kept${fate.rows.length > 1 ? ` as ${fate.rows.length} rows` : ""}: ${rows.join("; ")}`;
}

import { type Column, type Difference } from "./transforms-api";

const column = ({ name, type, nullable }: Column) => `${name} ${type}${nullable ? "" : ", required"}`;

const value = (text: string | null) => text ?? "(none)";

/** What changes from one deployment to another, line by line. */
export function Changes({ difference }: { difference: Difference }) {
  const lines = [
    ...difference.transforms.map((change) =>
      change.change === "added"
        ? `+ ${change.name}: ${change.reference}`
        : change.change === "removed"
          ? `− ${change.name}: ${change.reference}`
          : `${change.name}: ${change.what} ${value(change.from)} → ${value(change.to)}`,
    ),
    ...difference.columns.map((change) =>
      change.change === "retyped"
        ? `column ${column(change.from)} → ${column(change.to)}`
        : `${change.change === "added" ? "+" : "−"} column ${column(change)}`,
    ),
  ];
  if (lines.length === 0) return <p>Nothing changes.</p>;
  return <ul class="changes">{lines.map((line) => <li key={line}>{line}</li>)}</ul>;
}

/** Whether readers of the table would lose a column, or see another type. */
export const changesColumns = (difference: Difference) => difference.columns.some((one) => one.change !== "added");

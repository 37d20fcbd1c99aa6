// A chain as somebody writes it, and the order that it means. Pure.
import type { Deployed, Deployment, Order, Policy, Setting } from "./transforms-api";

export interface Draft {
  /** Its name in the pipeline. */
  name: string;
  transform: string;
  version: string;
  /** `NAME=VALUE`, one a line. */
  settings: string;
  /** `LIMIT=VALUE`, one a line: those that are to change. */
  limits: string;
  onFailure: Policy;
}

export const shown = (setting: Setting) =>
  typeof setting === "string" ? setting : "env" in setting ? `env:${setting.env}` : `file:${setting.file}`;

/** A setting of several lines cannot be written in a line: it stays as it is. */
const hasLines = (setting: Setting) => shown(setting).includes("\n");

export const keptAsTheyAre = (deployed: Deployed | undefined) =>
  Object.entries(deployed?.settings ?? {}).flatMap(([name, setting]) => (hasLines(setting) ? [name] : []));

export function draftsOf({ transforms }: Deployment): Draft[] {
  return transforms.map(({ name, transform, version, settings, on_failure }) => ({
    name,
    transform,
    version,
    settings: Object.entries(settings)
      .filter(([, setting]) => !hasLines(setting))
      .map(([name, setting]) => `${name}=${shown(setting)}`)
      .join("\n"),
    limits: "",
    onFailure: on_failure,
  }));
}

const lines = (text: string) => text.split("\n").map((line) => line.trim()).filter((line) => line !== "");

const nameOf = (line: string) => line.split("=", 1)[0]!.trim();

type Chain = Pick<Order, "transforms" | "set" | "unset" | "limits" | "on_failure">;

/** What is asked for over the present deployment, whose settings, limits and policies are kept under the same names. */
export function chainOf(drafts: Draft[], present: Deployment): Chain {
  const chain: Chain = { transforms: [], set: [], unset: [], limits: [], on_failure: [] };
  for (const draft of drafts) {
    const { name, transform, version } = draft;
    const kept = present.transforms.find((one) => one.name === name);
    chain.transforms.push(`${name === transform ? "" : `${name}=`}${transform}@${version}`);
    const written = lines(draft.settings);
    for (const line of written) {
      const setting = kept?.settings[nameOf(line)];
      if (setting === undefined || line !== `${nameOf(line)}=${shown(setting)}`) chain.set.push(`${name}.${line}`);
    }
    const gone = Object.entries(kept?.settings ?? {}).filter(
      ([setting, value]) => !hasLines(value) && !written.some((line) => nameOf(line) === setting),
    );
    chain.unset.push(...gone.map(([setting]) => `${name}.${setting}`));
    chain.limits.push(...lines(draft.limits).map((line) => `${name}.${line}`));
    if (draft.onFailure !== (kept?.on_failure ?? "dead-letter")) chain.on_failure.push(`${name}=${draft.onFailure}`);
  }
  return chain;
}

// What each transform does, from the statuses that hosts write. Pure.
import type { Host } from "./api";
import type { TransformCounts } from "./transforms-api";

export interface Work {
  deployment: number;
  name: string;
  version: string;
  /** Of all hosts, between the last two statuses of each; since its start where there is only one. */
  eventsPerSecond: number;
  /** Shares of the events since the hosts started. */
  kept: number;
  rejected: number;
  failed: number;
  /** Events since the hosts started. */
  events: number;
  /** Mean time for one event, crossing included, in the same span as the rate; `null`: there was none. */
  usPerEvent: number | null;
  /** All but one event in a hundred took at most this, on the host where it is most. */
  p99Us: number;
  slowestUs: number;
  deadlineUs: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  instances: number;
}

/** By deployment and then in the order of the chain. */
export function work(hosts: Host[], before: Map<string, Host>): Work[] {
  const sums = new Map<string, Sum>();
  for (const host of hosts) {
    const earlier = before.get(host.host);
    const ms = host.at_ms - (earlier?.at_ms ?? host.started_at_ms);
    for (const [deployment, transforms] of Object.entries(host.transforms)) {
      for (const counts of transforms) {
        const known = earlier?.transforms[deployment]?.find((one) => one.name === counts.name);
        const key = `${deployment} ${counts.name}`;
        const sum = sums.get(key) ?? new Sum(Number(deployment), counts);
        sum.add(counts, known, ms);
        sums.set(key, sum);
      }
    }
  }
  return [...sums.values()].map((sum) => sum.work()).sort((a, b) => a.deployment - b.deployment);
}

class Sum {
  private events = 0;
  private kept = 0;
  private rejected = 0;
  private failed = 0;
  private perSecond = 0;
  private lately = { events: 0, busyUs: 0 };
  private marks = { p99: 0, slowest: 0, deadline: 0, memory: 0, memoryLimit: 0, instances: 0 };

  constructor(
    private readonly deployment: number,
    private readonly of: TransformCounts,
  ) {}

  add(counts: TransformCounts, known: TransformCounts | undefined, ms: number) {
    this.events += counts.events;
    this.kept += counts.kept;
    this.rejected += counts.rejected;
    this.failed += counts.failed;
    const events = counts.events - (known?.events ?? 0);
    if (ms > 0) this.perSecond += (events * 1000) / ms;
    this.lately.events += events;
    this.lately.busyUs += counts.busy_us - (known?.busy_us ?? 0);
    const { marks } = this;
    marks.p99 = Math.max(marks.p99, counts.p99_us);
    marks.slowest = Math.max(marks.slowest, counts.used?.slowest_us ?? 0);
    marks.deadline = Math.max(marks.deadline, counts.used?.deadline_us ?? 0);
    marks.memory = Math.max(marks.memory, counts.used?.memory_bytes ?? 0);
    marks.memoryLimit = Math.max(marks.memoryLimit, counts.used?.memory_limit_bytes ?? 0);
    marks.instances += counts.used?.instances ?? 0;
  }

  work(): Work {
    const share = (count: number) => count / Math.max(this.events, 1);
    const { lately, marks } = this;
    return {
      deployment: this.deployment,
      name: this.of.name,
      version: this.of.version,
      eventsPerSecond: this.perSecond,
      kept: share(this.kept),
      rejected: share(this.rejected),
      failed: share(this.failed),
      events: this.events,
      usPerEvent: lately.events > 0 ? lately.busyUs / lately.events : null,
      p99Us: marks.p99,
      slowestUs: marks.slowest,
      deadlineUs: marks.deadline,
      memoryBytes: marks.memory,
      memoryLimitBytes: marks.memoryLimit,
      instances: marks.instances,
    };
  }
}

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refused, type Session, session, signOut } from "./api";
import { DeadLettersPage } from "./dead-letters";
import { Overview } from "./overview";
import { SchemasPage } from "./schemas";
import { SignIn } from "./sign-in";
import { TablePage } from "./table";
import { TopicsPage } from "./topics";
import { TransformsPage } from "./transforms";

const PAGES = [
  ["#/", "Overview"],
  ["#/transforms", "Transforms"],
  ["#/table", "Table"],
  ["#/dead-letters", "Dead letters"],
  ["#/topics", "Topics"],
  ["#/schemas", "Schemas"],
] as const;

/** The part of the address behind the page, as it changes. */
function useHash() {
  const [hash, setHash] = useState(location.hash || "#/");
  useEffect(() => {
    const follow = () => setHash(location.hash || "#/");
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return hash;
}

/** Who is signed in; `undefined`: not known yet. */
function Console() {
  const [who, setWho] = useState<Session | null | undefined>();
  const hash = useHash();
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    session().then(setWho, (error: Refused) => setProblem(`${error.message}. ${error.hint ?? ""}`));
  }, []);
  if (problem) return <main class="narrow"><p role="alert" class="trouble">{problem}</p></main>;
  if (who === undefined) return null;
  if (who === null) return <SignIn onSignedIn={setWho} />;
  const leave = async () => {
    await signOut().catch(() => undefined);
    setWho(null);
  };
  return (
    <>
      <header>
        <h1>{who.pipeline}</h1>
        <span class="who">
          {who.csrf === null ? "without sign-in, from this machine" : `${who.name} (${who.roles.join(", ")})`}
        </span>
        {who.csrf !== null && <button onClick={leave}>Sign out</button>}
      </header>
      <nav aria-label="Pages">
        {PAGES.map(([to, name]) => (
          <a key={to} href={to} aria-current={hash === to ? "page" : undefined}>{name}</a>
        ))}
      </nav>
      <main>
        {hash === "#/dead-letters" ? (
          <DeadLettersPage who={who} />
        ) : hash === "#/table" ? (
          <TablePage who={who} />
        ) : hash === "#/topics" ? (
          <TopicsPage who={who} />
        ) : hash === "#/schemas" ? (
          <SchemasPage />
        ) : hash === "#/transforms" ? (
          <TransformsPage who={who} onExpired={() => session().then(setWho, () => undefined)} />
        ) : (
          <Overview who={who} onExpired={() => session().then(setWho, () => undefined)} />
        )}
      </main>
      <footer>wasmill {who.version} · <a href="/openapi.json">API</a></footer>
    </>
  );
}

render(<Console />, document.getElementById("console")!);

import { useState } from "preact/hooks";
import { Refused, type Session, signIn } from "./api";

export function SignIn({ onSignedIn }: { onSignedIn: (who: Session) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get("token") as string;
    try {
      onSignedIn(await signIn(token));
    } catch (error) {
      setProblem((error as Refused).message);
    }
  };
  return (
    <main class="narrow">
      <h1>wasmill</h1>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <input id="token" name="token" type="password" autocomplete="current-password" required autofocus
          aria-describedby="token-help" />
        <p id="token-help" class="quiet">
          The one that programs use with the admin API. Whoever runs the host makes one with{" "}
          <code>wasmill token NAME --role viewer --into tokens.toml</code>
        </p>
        <button type="submit">Sign in</button>
        <p role="alert" class={problem ? "trouble" : ""}>{problem}</p>
      </form>
    </main>
  );
}

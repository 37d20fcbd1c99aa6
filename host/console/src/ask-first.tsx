import { type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { said } from "./api";

/** What is done only after somebody was told what will happen, and has said why. */
export interface Intent {
  title: string;
  /** What will happen. */
  what: ComponentChildren;
  button: string;
  /** Does it; what is said afterwards. */
  act: (note: string) => Promise<string>;
}

/** Asks whether it is meant. What fails is told here, and may be tried again. */
export function AskFirst({ intent, onClose }: { intent: Intent; onClose: (told: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const told = useRef("");
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const note = new FormData(event.currentTarget as HTMLFormElement).get("note") as string;
    setBusy(true);
    setProblem("");
    try {
      told.current = await intent.act(note);
      dialog.current?.close();
    } catch (error) {
      setProblem(`Not done: ${said(error)}`);
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} onClose={() => onClose(told.current)} aria-labelledby="intent">
      <h3 id="intent">{intent.title}</h3>
      {intent.what}
      <form class="row" onSubmit={submit}>
        <label for="intent-note">Why</label>
        <input id="intent-note" name="note" required maxLength={1024} placeholder="It is recorded" autofocus />
        <button type="submit" disabled={isBusy}>{intent.button}</button>
        <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
      </form>
      {problem && <p role="alert" class="trouble">{problem}</p>}
    </dialog>
  );
}

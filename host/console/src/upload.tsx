import { useRef, useState } from "preact/hooks";
import { Refused } from "./api";
import { bytes, grouped } from "./figures";
import { type Looked, type Named, upload, vet } from "./transforms-api";

/** A module that was dropped, and what the pre-flight found. */
interface Dropped {
  file: File;
  signature: string;
  looked: Looked;
}

interface Trouble {
  what: string;
  todo?: string | undefined;
}

const trouble = (error: unknown): Trouble => ({ what: (error as Refused).message, todo: (error as Refused).hint });

/** Looks at what is dropped, then stores it when it is told to. */
export function Upload({ onUploaded }: { onUploaded: () => void }) {
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState<Trouble | null>(null);
  const [dropped, setDropped] = useState<Dropped | null>(null);
  const asked = useRef(0);
  const take = async (files: File[]) => {
    const turn = ++asked.current;
    setDropped(null);
    setProblem(null);
    const signed = files.find((file) => file.name.endsWith(".sig"));
    const modules = files.filter((file) => file !== signed);
    const file = modules[0];
    if (modules.length !== 1 || !file) {
      setTold("");
      setProblem({ what: "That is not one module.", todo: "Drop one .wasm file, and its .wasm.sig with it where it was signed." });
      return;
    }
    setTold(`Looking at ${file.name} (${bytes(file.size)}): it is compiled and asked what it does, which may take a minute.`);
    try {
      const signature = signed ? await signed.text() : "";
      const looked = await vet(file, { signature });
      if (turn !== asked.current) return;
      setDropped({ file, signature, looked });
      setTold(`${file.name} may run here.`);
    } catch (error) {
      if (turn !== asked.current) return;
      setTold("");
      setProblem({ ...trouble(error), what: `${file.name} may not run here: ${(error as Refused).message}` });
    }
  };
  const done = (words: string) => {
    setDropped(null);
    setTold(words);
    onUploaded();
  };
  return (
    <section aria-labelledby="upload">
      <h3 id="upload">Upload</h3>
      <DropZone onFiles={take} />
      <p class="live" role="status">{told}</p>
      {problem && <PreflightTrouble problem={problem} />}
      {dropped && <Found key={asked.current} dropped={dropped} onDone={done} />}
    </section>
  );
}

/** Also a button that opens the browser's own choice of files. */
function DropZone({ onFiles }: { onFiles: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [isOver, setOver] = useState(false);
  const over = (event: DragEvent) => {
    event.preventDefault();
    setOver(true);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  };
  const choose = () => {
    const chosen = [...(input.current?.files ?? [])];
    // So that the same file can be chosen once more after it was built anew.
    input.current!.value = "";
    if (chosen.length > 0) onFiles(chosen);
  };
  return (
    <div onDragOver={over} onDragEnter={over} onDragLeave={() => setOver(false)} onDrop={drop}>
      <button type="button" class={`drop ${isOver ? "over" : ""}`} onClick={() => input.current?.click()}>
        Drop a module here, or choose one
        <span class="quiet">a .wasm file, with its .wasm.sig where it was signed; nothing is stored before you have seen what it is</span>
      </button>
      <input ref={input} type="file" multiple accept=".wasm,.sig" hidden onChange={choose} />
    </div>
  );
}

const PreflightTrouble = ({ problem }: { problem: Trouble }) => (
  <div role="alert" class="trouble">
    <pre tabIndex={0}>{problem.what}</pre>
    {problem.todo && <p>What to do: {problem.todo}</p>}
  </div>
);

/** The pre-flight's result, and the name under which it is stored. */
function Found({ dropped, onDone }: { dropped: Dropped; onDone: (words: string) => void }) {
  const { file, signature, looked } = dropped;
  const { module } = looked;
  const [name, setName] = useState(looked.name ?? "");
  const [version, setVersion] = useState(looked.version ?? "");
  const [problem, setProblem] = useState<Trouble | null>(null);
  const [isBusy, setBusy] = useState(false);
  const isAsFound = name === (looked.name ?? "") && version === (looked.version ?? "");
  const refused = isAsFound ? looked.would_be_refused : null;
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const named: Named = { name, version, signature };
      const { new: isNew, release } = await upload(file, named);
      onDone(`${release.name}@${release.version} ${isNew ? "is uploaded" : "was there already"}; it can be deployed.`);
    } catch (error) {
      setProblem(trouble(error));
      setBusy(false);
    }
  };
  const list = (names: string[]) => (names.length > 0 ? names.join(", ") : "nothing");
  return (
    <>
      <dl class="facts">
        <dt>It is</dt><dd>a {module.kind === "component" ? "component" : "core module with its component type"} for interface {module.wit_version}, {grouped(module.size)} bytes</dd>
        <dt>Imports</dt><dd>{list(module.imports)}</dd>
        <dt>Exports</dt><dd>{list(module.exports)}</dd>
        <dt>sha256</dt><dd><code>{module.sha256}</code></dd>
        <dt>Signature</dt><dd>{signature ? "goes with it" : "none"}</dd>
        <dt>Note</dt>
        <dd>{looked.remark ? <>Without settings, and for this pipeline's columns, it says: {looked.remark}</> : "It describes itself for this pipeline's columns."}</dd>
      </dl>
      <form class="row" onSubmit={submit}>
        <label>Name <input value={name} required maxLength={100} onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label>Version <input value={version} required maxLength={100} placeholder="1.2.0" onInput={(event) => setVersion(event.currentTarget.value)} /></label>
        <button type="submit" disabled={isBusy || refused !== null || (isAsFound && looked.is_there)}>Upload</button>
      </form>
      {isAsFound && looked.is_there && <p class="fine">The same bytes are there already under this name and version; it can be deployed.</p>}
      {!isAsFound || !looked.is_there ? <p class="quiet">A version never changes and is never deleted; it can be withdrawn.</p> : null}
      {refused && <PreflightTrouble problem={{ what: refused.error, todo: refused.hint }} />}
      {problem && <PreflightTrouble problem={problem} />}
    </>
  );
}

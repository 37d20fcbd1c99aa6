//! The WebAssembly engine: how guests are compiled, and what stops them.
//!
//! One [`TransformEngine`] serves the whole process. It compiles each module once (and remembers it on disk where a
//! directory is given), and a ticker thread moves the clock by which guests' deadlines are kept. The thread holds the
//! engine weakly and ends with it.
//!
//! It knows nothing of columns, schemas or settings.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, EngineWeak};

use super::bindings::{Transformer, TransformerPre};
use super::cached_code::CachedCode;
use super::guest_log::paragraph;
use super::host_functions::HostState;
use super::module::{ModuleFile, ModuleInfo, guarded};
use crate::error::{Error, Result};

/// How often the clock of the deadlines ticks: a guest is stopped at most this much after its deadline.
const TICK: Duration = Duration::from_millis(10);

/// Compiled components that are kept in memory, so that whoever uploads many does not fill it. Those that run are held
/// by their instances.
const KEPT_COMPILED: usize = 32;
/// The longest text of an error, which may repeat what stands in the module.
const MAX_ERROR_BYTES: usize = 2000;

/// Compiles modules and keeps deadlines. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct TransformEngine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<HostState>,
    cache: Option<CachedCode>,
    /// The last used at the end.
    compiled: Mutex<Vec<(String, Component)>>,
}

/// A module that was checked, compiled and linked to the host functions; ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Module {
    pub(crate) info: Arc<ModuleInfo>,
    pub(crate) pre: TransformerPre<HostState>,
}

impl TransformEngine {
    /// A new engine. `cache` is a directory for compiled code (made with mode 0700); without it, modules are compiled
    /// anew in each process.
    pub fn new(cache: Option<&Path>) -> Result<Self> {
        let engine = Engine::new(&configuration()).map_err(|error| engine_failed(&error))?;
        let mut linker = Linker::new(&engine);
        Transformer::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)
            .map_err(|error| engine_failed(&error))?;
        tick(engine.weak())?;
        let cache = cache.and_then(CachedCode::open);
        Ok(Self { shared: Arc::new(Shared { engine, linker, cache, compiled: Mutex::default() }) })
    }

    /// Checks and compiles a module: a component, or a core module that carries its component type.
    ///
    /// Errors are of kind `Config` and say what to build instead.
    pub(crate) fn load(&self, bytes: &[u8]) -> Result<Module> {
        guarded(|| self.load_unguarded(bytes))
    }

    fn load_unguarded(&self, bytes: &[u8]) -> Result<Module> {
        let file = ModuleFile::parse(bytes)?;
        let component = self.compile(&file)?;
        let linked = self.shared.linker.instantiate_pre(&component).and_then(TransformerPre::new);
        let pre = linked.map_err(|error| {
            let text = paragraph(&format!("{error:#}"), MAX_ERROR_BYTES);
            Error::config(format!("the module does not fit wasmill's interface: {text}"))
                .hint("build it against the transform.wit of this version of wasmill")
        })?;
        Ok(Module { info: Arc::new(file.info), pre })
    }

    fn compile(&self, file: &ModuleFile) -> Result<Component> {
        let Shared { engine, cache, compiled, .. } = &*self.shared;
        let key = self.cache_key(&file.component);
        let remember = |component: &Component| {
            let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
            compiled.retain(|(other, _)| *other != key);
            if compiled.len() == KEPT_COMPILED {
                compiled.remove(0);
            }
            compiled.push((key.clone(), component.clone()));
        };
        let find = |known: &[(String, Component)]| known.iter().find(|(other, _)| *other == key).cloned();
        let known = find(&compiled.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((_, component)) = known {
            remember(&component);
            return Ok(component);
        }
        if let Some(component) = cache.as_ref().and_then(|cache| cache.load(engine, &key)) {
            remember(&component);
            return Ok(component);
        }
        let component = Component::new(engine, &file.component).map_err(|error| {
            let text = paragraph(&format!("{error:#}"), MAX_ERROR_BYTES);
            Error::config(format!("the module is not valid WebAssembly: {text}"))
        })?;
        if let Some(cache) = cache
            && let Ok(code) = component.serialize()
        {
            cache.store(&key, &code);
        }
        remember(&component);
        Ok(component)
    }

    /// Names compiled code: which component it was, and by which compiler, for which target and settings.
    fn cache_key(&self, component: &[u8]) -> String {
        let mut compatibility = DigestHasher(Sha256::new());
        self.shared.engine.precompile_compatibility_hash().hash(&mut compatibility);
        let compatibility = compatibility.0.finalize();
        format!("{}-{}", hex(&Sha256::digest(component)), hex(&compatibility[..8]))
    }
}

/// The number of ticks after which a call that may take `deadline` is stopped. One more than the quotient, because the
/// first tick may come at once.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).saturating_add(1)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Guests' deadlines. Costs some percent in tight loops, and is the only thing that stops an endless one.
        .epoch_interruption(true)
        // No call is ever asynchronous, and without this a call costs 0.3 us instead of 0.8.
        .concurrency_support(false)
        // Its results depend on the machine, and `process` must be a function of its rows.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false);
    config
}

/// Starts the thread that moves the deadlines' clock, until the engine is gone.
fn tick(engine: EngineWeak) -> Result<()> {
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let started = thread::Builder::new().name("wasmill-deadlines".to_owned()).spawn(run);
    started.map(drop).map_err(|error| Error::fatal("could not start the thread that keeps deadlines").because(error))
}

fn engine_failed(error: &wasmtime::Error) -> Error {
    Error::fatal(format!("the WebAssembly engine could not be set up: {error:#}"))
}

/// Feeds a `Hash` into SHA-256, so that the name of compiled code does not depend on a process's random hasher.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

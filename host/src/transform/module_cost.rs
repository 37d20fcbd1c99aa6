//! What it could cost to check and compile a module, before that is tried.
//!
//! A file of some kilobytes can keep a compiler busy for hours, or exhaust its stack or memory: a function of n branches
//! and m locals may need n x m values in the compiler, one call instruction may stand for a thousand values, components
//! that instantiate each other twice double with each line, and types that stand in types are read recursively. The
//! bounds here are far above what honest guests need (a CPython interpreter needs a tenth), and are found in one pass
//! without recursion over bytes of which nothing was checked yet.
//!
//! It judges size only: whether the module is valid is for those that come after.

use wasmparser::{
    BinaryReader, BinaryReaderError, BlockType, ComponentAlias, ComponentExternName, ComponentExternalKind,
    ComponentImport, ComponentInstance, ComponentOuterAliasKind, ComponentType, ComponentTypeRef, CompositeInnerType,
    CoreType, FunctionBody, Operator, Parser, Payload, TypeRef,
};

/// Values that compiling one function may take.
const MAX_FUNCTION_COST: u64 = 16_000_000;
/// Values that compiling all functions may take.
const MAX_COST: u64 = 400_000_000;
/// What a function costs however small it is; so there are at most a hundred thousand.
const FUNCTION_COST: u64 = 4_000;
/// Instances of components that the outermost one makes, those inside them included.
const MAX_INSTANCES: u64 = 1_000;
/// How deep components may stand in components.
const MAX_COMPONENT_DEPTH: usize = 20;
/// How deep types of components and instances may stand in each other. The validator's own bound comes too late: it
/// reads a type before it measures it.
const MAX_TYPE_DEPTH: usize = 100;

/// Why a module is not even looked at.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot be parsed.
    Damaged(BinaryReaderError),
    /// It is too large in the way that the text says: it finishes the sentence "the module ...".
    TooLarge(String),
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

/// One module or component on the way to the innermost.
#[derive(Default)]
struct Scope {
    /// Parameters and results of each type of a core module; of other types 0.
    types: Vec<u64>,
    /// The same of each function.
    functions: Vec<u64>,
    /// The next function whose code will come.
    next: usize,
    /// What one instance of each component in the index space is worth in instances.
    components: Vec<u64>,
    /// What one instance of this component is worth.
    worth: u64,
    is_core: bool,
}

/// Refuses what could take too long, or too much memory or stack, to check or compile.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut cost = 0_u64;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::Version { encoding, .. } = payload {
            if scopes.len() == MAX_COMPONENT_DEPTH {
                return Err(too_large(format!("nests components deeper than {MAX_COMPONENT_DEPTH}")));
            }
            scopes.push(Scope { worth: 1, is_core: encoding == wasmparser::Encoding::Module, ..Scope::default() });
            continue;
        }
        if let Payload::End(_) = payload {
            let inner = scopes.pop().unwrap_or_default();
            if let Some(outer) = scopes.last_mut()
                && !inner.is_core
            {
                outer.components.push(inner.worth);
            }
            continue;
        }
        let (outer, scope) = match scopes.split_last_mut() {
            Some((scope, outer)) => (outer, scope),
            None => continue,
        };
        if let Payload::CodeSectionEntry(body) = payload {
            let function = function_cost(&body, scope)?;
            scope.next += 1;
            cost = cost.saturating_add(function);
            if function > MAX_FUNCTION_COST || cost > MAX_COST {
                return Err(too_large("has functions that take too long to compile".to_owned()));
            }
            continue;
        }
        index(payload, bytes, outer, scope)?;
        if scope.worth > MAX_INSTANCES {
            return Err(too_large(format!("makes more than {MAX_INSTANCES} instances of components")));
        }
    }
    Ok(())
}

fn too_large(text: String) -> Refusal {
    Refusal::TooLarge(text)
}

/// Follows the index spaces that the costs need.
fn index(payload: Payload<'_>, bytes: &[u8], outer: &[Scope], scope: &mut Scope) -> Result<(), Refusal> {
    match payload {
        Payload::TypeSection(section) => {
            for group in section {
                for ty in group?.into_types() {
                    let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                        scope.types.push(0);
                        continue;
                    };
                    scope.types.push((ty.params().len() + ty.results().len()) as u64);
                }
            }
        }
        Payload::ImportSection(section) => {
            for import in section.into_imports() {
                if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                    scope.functions.push(arity(&scope.types, ty));
                }
            }
            scope.next = scope.functions.len();
        }
        Payload::FunctionSection(section) => {
            for ty in section {
                scope.functions.push(arity(&scope.types, ty?));
            }
        }
        Payload::ComponentTypeSection(section) => {
            let range = section.range();
            check_type_depth(BinaryReader::new(&bytes[range.clone()], range.start))?;
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    let worth = scope.components.get(component_index as usize).copied().unwrap_or(MAX_INSTANCES);
                    scope.worth = scope.worth.saturating_add(worth);
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                match alias? {
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let from = match count {
                            0 => Some(&*scope),
                            _ => outer.len().checked_sub(count as usize).map(|scope| &outer[scope]),
                        };
                        let worth = from.and_then(|from| from.components.get(index as usize)).copied();
                        scope.components.push(worth.unwrap_or(MAX_INSTANCES));
                    }
                    // What an instance exports as a component is not followed; nor is what is imported.
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                        scope.components.push(MAX_INSTANCES);
                    }
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                if let ComponentTypeRef::Component(_) = import?.ty {
                    scope.components.push(MAX_INSTANCES);
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export?;
                if export.kind == ComponentExternalKind::Component {
                    let worth = scope.components.get(export.index as usize).copied();
                    scope.components.push(worth.unwrap_or(MAX_INSTANCES));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn arity(of: &[u64], index: u32) -> u64 {
    of.get(index as usize).copied().unwrap_or(0)
}

/// An upper bound, in values, of what compiling a function takes. At each branch, each local and each parameter of a
/// block may be another value than at the branch before.
fn function_cost(body: &FunctionBody<'_>, scope: &Scope) -> Result<u64, Refusal> {
    let own = scope.functions.get(scope.next).copied().unwrap_or(0);
    let mut locals = own;
    for group in body.get_locals_reader()? {
        locals = locals.saturating_add(group?.0.into());
    }
    let mut widest = own;
    let (mut edges, mut values) = (1_u64, 0_u64);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        values += 1;
        match operators.read()? {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                edges += 1;
                if let BlockType::FuncType(ty) = blockty {
                    widest = widest.max(arity(&scope.types, ty));
                }
            }
            Operator::BrTable { targets } => edges += u64::from(targets.len()) + 1,
            Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::Return
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. } => edges += 1,
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                values += arity(&scope.functions, function_index);
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => values += arity(&scope.types, type_index),
            _ => {}
        }
    }
    Ok(FUNCTION_COST.saturating_add(values).saturating_add(edges.saturating_mul(locals.saturating_add(widest))))
}

/// Refuses a section of types that stand in each other too deep. What remains to be read of each open list is kept
/// beside, so that nothing here recurses.
fn check_type_depth(mut reader: BinaryReader<'_>) -> Result<(), Refusal> {
    let mut open = vec![reader.read_var_u32()?];
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        // The section's own list holds types; the lists inside hold declarations, of which types are one kind.
        let kind = if open.len() == 1 { 0x01 } else { reader.read_u8()? };
        match kind {
            0x00 => {
                reader.read::<CoreType<'_>>()?;
            }
            0x01 => match reader.clone().read_u8()? {
                0x41 | 0x42 => {
                    reader.read_u8()?;
                    open.push(reader.read_var_u32()?);
                    if open.len() > MAX_TYPE_DEPTH {
                        return Err(too_large(format!("nests types deeper than {MAX_TYPE_DEPTH}")));
                    }
                }
                _ => {
                    reader.read::<ComponentType<'_>>()?;
                }
            },
            0x02 => {
                reader.read::<ComponentAlias<'_>>()?;
            }
            0x03 => {
                reader.read::<ComponentImport<'_>>()?;
            }
            _ => {
                reader.read::<ComponentExternName<'_>>()?;
                reader.read::<ComponentTypeRef>()?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn too_large(text: &str, expected: &str) {
        match check(&wat::parse_str(text).unwrap()) {
            Err(Refusal::TooLarge(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    /// `levels` components in a row, each of which instantiates the one before twice.
    fn doubling(levels: usize) -> String {
        let twice = |n: usize| {
            format!(
                "(component $c{} (alias outer 1 $c{n} (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))",
                n + 1
            )
        };
        format!(
            "(component (component $c0) {} (instance (instantiate $c{levels})))",
            (0..levels).map(twice).collect::<String>()
        )
    }

    #[test]
    fn instances_are_counted_through_aliases() {
        assert!(check(&wat::parse_str(doubling(5)).unwrap()).is_ok());
        too_large(&doubling(10), "instances of components");
    }

    #[test]
    fn a_call_costs_what_it_passes() {
        let many = "i32 ".repeat(1000);
        let arguments = "(i32.const 0)".repeat(1000);
        let body = format!("{arguments} {}", "call $f ".repeat(10_000));
        let module = format!(
            "(module (func $f (import \"a\" \"f\") (param {many}) (result {many})) (func {body} {}))",
            "drop ".repeat(1000)
        );
        too_large(&module, "too long to compile");
    }

    #[test]
    fn branches_cost_the_locals_that_they_join() {
        let function = |locals: usize, blocks: usize| {
            let locals = "i32 ".repeat(locals);
            format!("(module (func (local {locals}) {} {}))", "block ".repeat(blocks), "end ".repeat(blocks))
        };
        assert!(check(&wat::parse_str(function(1000, 1000)).unwrap()).is_ok());
        too_large(&function(10_000, 1000), "too long to compile");
    }
}

//! A `.proto` file as the registry has it: its types, and those of what it imports.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// What the file itself is called. No import can mean it.
const NAME: &str = "the schema";

/// What Confluent's serializers know without a reference.
const CONFLUENT: [(&str, &str); 2] = [
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type; \
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\"; \
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; } \
         extend google.protobuf.FileOptions { Meta file_meta = 1088; } \
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; } \
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; } \
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; } \
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
];

/// A parsed file.
pub(crate) struct ProtobufFile {
    file: FileDescriptor,
}

/// Files by the names that imports have for them.
struct Texts(HashMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => descriptor(name, text).map_or_else(|| File::from_source(name, text), Ok),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Some clients register what a compiler made of the file, in base64. No text of a file is that.
fn descriptor(name: &str, text: &str) -> Option<File> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let mut descriptor = FileDescriptorProto::decode(&bytes[..]).ok()?;
    descriptor.name = Some(name.to_owned());
    Some(File::from_file_descriptor_proto(descriptor))
}

impl ProtobufFile {
    /// Parses a file; `imports` are the names and texts of what it refers to, directly or not.
    ///
    /// The error says what is wrong, and where.
    pub(crate) fn parse<'t>(
        text: &'t str,
        imports: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, String> {
        let known = CONFLUENT.into_iter().chain(imports).chain([(NAME, text)]);
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(known.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(NAME).map_err(|error| one_line(&error))?;
        let pool: DescriptorPool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(NAME).ok_or("it is no file of Protobuf")?;
        Ok(Self { file })
    }

    /// The type at the end of `path`: its place among the file's messages, then among those declared within that, and so on.
    /// Types that are made for maps do not count.
    pub(crate) fn message(&self, path: &[usize]) -> Option<MessageDescriptor> {
        let (first, deeper) = path.split_first()?;
        let mut message = self.file.messages().nth(*first)?;
        for place in deeper {
            let inner = message.child_messages().filter(|inner| !inner.is_map_entry()).nth(*place)?;
            message = inner;
        }
        Some(message)
    }
}

fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().lines().collect::<Vec<_>>().join("; ")
}

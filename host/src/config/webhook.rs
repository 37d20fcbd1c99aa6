//! `[webhook]`: who is told of each new hive partition.

use super::file::Section;
use super::secret::Secret;
use super::value;

/// `[webhook]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where a hive partition is posted: `http` or `https`.
    pub url: String,
    /// The bearer token that is sent along.
    pub token: Option<Secret>,
}

/// The section; `Some(None)` when there is none, `None` when it has mistakes.
pub(super) fn webhook(root: &Section<'_>) -> Option<Option<WebhookConfig>> {
    let Some(section) = root.section("webhook") else { return Some(None) };
    let url = section.required("url", "\"https://catalog.example/hive-partitions\"").and_then(|field| {
        let text = value::text(&field)?;
        match reqwest::Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme())) {
            None => field.wanted("a URL like \"https://catalog.example/hive-partitions\""),
            // Not shown: it may hold a password.
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                field.mistake("holds a user or a password; wanted a URL without, and token");
            }
            Some(_) => return Some(text),
        }
        None
    });
    let token = match section.optional("token") {
        None => Some(None),
        Some(field) => value::text(&field).map(|token| Some(Secret::new(token))),
    };
    section.finish();
    Some(Some(WebhookConfig { url: url?, token: token? }))
}

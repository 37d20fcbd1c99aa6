//! Drops bots and marks mobile clients, by searching the bytes of whole columns.

use wasmill_sdk::memmem::Finder;
use wasmill_sdk::prelude::*;

/// What is read. The derive also makes `AgentColumns`: a view of each column.
#[derive(Reads)]
#[reads(rename_all = "camelCase")]
pub struct Agent<'a> {
    user_agent: Option<&'a str>,
}

/// What is added. The derive also makes `ClassBuilders`: a builder for each column.
#[derive(Writes)]
pub struct Class {
    mobile: bool,
}

/// What an operator may set in the pipeline file.
#[derive(Settings)]
pub struct Settings {
    /// Clients with this word in their user agent are bots.
    #[settings(default = "bot")]
    bot: String,
}

/// The transform: what it needs from batch to batch.
#[transform]
pub struct Classify {
    bot: Finder<'static>,
    mobile: Finder<'static>,
}

impl Columnar for Classify {
    type Settings = Settings;
    type Reads = Agent<'static>;
    type Writes = Class;
    type Reasons = Infallible;

    fn start(settings: Settings) -> Result<Classify, String> {
        Ok(Classify { bot: Finder::new(&settings.bot).into_owned(), mobile: Finder::new("Mobile") })
    }

    fn process(&mut self, agents: &AgentColumns<'_>, out: &mut Outcome<Class>) -> Result<(), String> {
        let agents = &agents.user_agent;
        out.columns.mobile.extend(&agents.contains(&self.mobile));
        out.keep(!agents.contains(&self.bot));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    #[test]
    fn bots_go_and_phones_are_marked() -> Result<(), String> {
        let events = Table::from_json(
            "userAgent string",
            r#"
            {"userAgent": "Mozilla/5.0 (iPhone) Mobile/15E148 Safari/604.1"}
            {"userAgent": "Mozilla/5.0 (compatible; some-bot/2.1)"}
            {"userAgent": "Mozilla/5.0 (Windows NT 10.0) Chrome/131.0"}
            {}
            "#,
        )?;
        let outcome = run::<ClassifyTransform>(&[], &events)?;
        assert_eq!(outcome.kept, [0, 2, 3]);
        let mobile: Vec<_> = outcome.json().iter().map(|row| row["mobile"] == true).collect();
        assert_eq!(mobile, [true, false, false]);
        Ok(())
    }
}

//! Adds what the listener listens with: kind of device, operating system, browser.
//!
//! Reads `userAgent`. Writes `device` (`pc`, `smartphone`, `mobilephone`, `appliance`, `crawler` or `misc`), `os` and
//! `browser`; each is null where the user agent does not tell. `userAgent` itself stays: another transform may drop it.
//!
//! Parsing is by tables of words, and the last few thousand answers are remembered, because listeners of one stream share
//! few user agents.

use wasmill_sdk::Memo;
use wasmill_sdk::prelude::*;

/// What the client says of itself.
#[derive(Reads)]
#[reads(rename_all = "camelCase")]
pub struct Agent<'a> {
    user_agent: Option<&'a str>,
}

/// What can be told from it.
#[derive(Debug, PartialEq, Default, Writes)]
pub struct Client<'c> {
    device: Option<&'c str>,
    os: Option<&'c str>,
    browser: Option<&'c str>,
}

/// Parses user agents, and remembers what it parsed.
#[derive(Debug)]
pub struct Clients {
    known: Memo<String, Parsed>,
}

#[derive(Debug, Default)]
struct Parsed {
    device: Option<String>,
    os: Option<String>,
    browser: Option<String>,
}

impl Prepare for Clients {
    type Settings = ();

    fn prepare((): ()) -> Result<Clients, String> {
        Ok(Clients { known: Memo::new(2_048) })
    }
}

/// What does the listener listen with?
#[enrich]
pub fn enrich_user_agent<'c>(agent: &Agent, clients: &'c mut Clients) -> Client<'c> {
    let Some(user_agent) = agent.user_agent else { return Client::default() };
    let parsed = clients.known.get(unquoted(user_agent), parse);
    Client { device: parsed.device.as_deref(), os: parsed.os.as_deref(), browser: parsed.browser.as_deref() }
}

/// Some programs write the user agent with quotes around it.
fn unquoted(user_agent: &str) -> &str {
    let inner = user_agent.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(user_agent)
}

fn parse(user_agent: &str) -> Parsed {
    let Some(parsed) = woothee::parser::Parser::new().parse(user_agent) else { return Parsed::default() };
    let told = |word: &str| (!word.is_empty() && word != woothee::woothee::VALUE_UNKNOWN).then(|| word.to_owned());
    Parsed { device: told(parsed.category), os: told(parsed.os), browser: told(parsed.name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0";
    const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    fn client<'c>(user_agent: &str, clients: &'c mut Clients) -> [Option<&'c str>; 3] {
        let Client { device, os, browser } = enrich_user_agent(&Agent { user_agent: Some(user_agent) }, clients);
        [device, os, browser]
    }

    #[test]
    fn clients_are_told_apart() -> Result<(), String> {
        let cases = [
            (CHROME, [Some("pc"), Some("Windows 10"), Some("Chrome")]),
            (IPHONE, [Some("smartphone"), Some("iPhone"), Some("Safari")]),
            (FIREFOX, [Some("pc"), Some("Linux"), Some("Firefox")]),
            (GOOGLEBOT, [Some("crawler"), None, Some("Googlebot")]),
            ("", [None, None, None]),
            ("no program anyone knows", [None, None, None]),
        ];
        let mut clients = Clients::prepare(())?;
        // Twice: parsed, and remembered.
        for (user_agent, expected) in cases.iter().chain(&cases) {
            assert_eq!(client(user_agent, &mut clients), *expected, "{user_agent}");
        }
        assert_eq!(client(&format!("\"{CHROME}\""), &mut clients)[2], Some("Chrome"));
        Ok(())
    }

    #[test]
    fn a_batch_gets_three_columns() -> Result<(), String> {
        let lines = format!("{{\"userAgent\": \"{FIREFOX}\"}}\n{{}}\n{{\"userAgent\": \"{FIREFOX}\"}}");
        let outcome = run::<enrich_user_agent>(&[], &Table::from_json("userAgent string", &lines)?)?;
        let rows = outcome.json();
        assert_eq!(outcome.kept, [0, 1, 2]);
        assert_eq!(rows[0]["browser"], "Firefox");
        assert!(rows[1]["device"].is_null() && rows[1]["userAgent"].is_null());
        assert_eq!(rows[2], rows[0]);
        Ok(())
    }
}

//! From a step of the model to one JSON object, by copying ready pieces.
//!
//! The order of the fields is that of the original program. Allocates nothing but what `out` needs to grow.

use super::catalogue::{Catalogue, Pieces, catalogue};
use super::chain::{Auth, Page};
use super::model::{Model, Step, User};
use super::options::Topic;

/// Writes events.
#[derive(Debug)]
pub(super) struct Renderer {
    catalogue: &'static Catalogue,
    /// Of each state: `,"auth":"..","level":"..","itemInSession":`.
    visit: Pieces,
    /// Of each state: `,"page":"..","auth":"..","method":"..","status":..,"level":"..","itemInSession":`.
    page_view: Pieces,
    /// Of each state: `,"level":"..","itemInSession":`.
    level: Pieces,
}

impl Renderer {
    /// For the states of `model`'s chain.
    pub(super) fn new(model: &Model) -> Self {
        let (mut visit, mut page_view, mut level) = (Pieces::default(), Pieces::default(), Pieces::default());
        for id in 0..model.chain.len() {
            let state = model.chain.state(id as u8);
            let (page, auth) = (state.page, state.auth.name());
            let tail = format!("\"level\":\"{}\",\"itemInSession\":", state.level.name());
            visit.push(&format!(",\"auth\":\"{auth}\",{tail}"));
            page_view.push(&format!(
                ",\"page\":\"{}\",\"auth\":\"{auth}\",\"method\":\"{}\",\"status\":{},{tail}",
                page.name(),
                page.method(),
                page.status()
            ));
            level.push(&format!(",{tail}"));
        }
        Self { catalogue: catalogue(), visit, page_view, level }
    }

    /// Appends the event that `topic` shows of `step`.
    #[inline]
    pub(super) fn render(&self, model: &Model, topic: Topic, step: &Step, out: &mut Vec<u8>) {
        // Longer than any event, so that one check of the capacity serves for all pieces.
        out.reserve(2_048);
        let user = model.user(step.slot);
        let state = model.chain.state(step.state);
        let id = step.state as usize;
        let shows_user = state.auth.shows_user();
        out.push(b'{');
        match topic {
            Topic::ListenEvents => {
                out.extend_from_slice(self.catalogue.songs.get(step.song as usize));
                out.push(b',');
                self.session(step, self.visit.get(id), out);
                self.visitor(user, shows_user, out);
            }
            Topic::PageViewEvents => {
                self.session(step, self.page_view.get(id), out);
                self.visitor(user, shows_user, out);
                if state.page == Page::NextSong {
                    out.push(b',');
                    out.extend_from_slice(self.catalogue.songs.get(step.song as usize));
                }
            }
            Topic::AuthEvents => {
                self.session(step, self.level.get(id), out);
                self.visitor(user, shows_user, out);
                let success: &[u8] =
                    if state.auth == Auth::LoggedIn { b",\"success\":true" } else { b",\"success\":false" };
                out.extend_from_slice(success);
            }
            Topic::StatusChangeEvents => {
                self.session(step, self.visit.get(id), out);
                self.visitor(user, shows_user, out);
            }
        }
        out.push(b'}');
    }

    /// When, in which session, in which state, at which place in the session.
    #[inline]
    fn session(&self, step: &Step, state: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"ts\":");
        integer(step.time_ms as u64, out);
        out.extend_from_slice(b",\"sessionId\":");
        integer(step.session, out);
        out.extend_from_slice(state);
        integer(u64::from(step.item), out);
    }

    /// Where and with what, and who, if that is known.
    #[inline]
    fn visitor(&self, user: &User, shows_user: bool, out: &mut Vec<u8>) {
        out.push(b',');
        out.extend_from_slice(self.catalogue.cities.get(user.city as usize));
        out.push(b',');
        out.extend_from_slice(self.catalogue.agents.get(user.agent as usize));
        out.push(b',');
        out.extend_from_slice(self.catalogue.coordinates.get(user.city as usize));
        if shows_user {
            out.extend_from_slice(b",\"userId\":");
            integer(user.id, out);
            out.push(b',');
            out.extend_from_slice(self.catalogue.last_names.get(user.last_name as usize));
            out.push(b',');
            out.extend_from_slice(self.catalogue.first_names.get(user.first_name as usize));
            out.extend_from_slice(b",\"registration\":");
            integer(user.registration_ms as u64, out);
        }
    }
}

#[inline]
fn integer(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

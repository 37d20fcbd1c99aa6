//! The catalogue: songs, cities, browsers and names, as ready pieces of JSON.
//!
//! Artists and songs are invented from word lists; cities are real. The catalogue is the same for every seed and every
//! instance, made once in a process, and never changes. All text is escaped here, so that an event is put together by
//! copying alone. It knows nothing of users, sessions or topics.

use std::sync::OnceLock;

use super::random::{Purpose, Random, Weighted};
use super::words;

const ARTISTS: usize = 1_200;
const SONGS_PER_ARTIST: u32 = 15;

/// Text pieces, one after the other in one allocation.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    text: String,
    ends: Vec<u32>,
}

impl Pieces {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push(self.text.len() as u32);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Piece `index`, which must exist.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text.as_bytes()[start as usize..self.ends[index] as usize]
    }
}

/// What events are made of.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// `"artist":"..","song":"..","duration":..` of each song.
    pub(super) songs: Pieces,
    /// How long each song takes, in milliseconds.
    pub(super) song_ms: Vec<u32>,
    /// Draws a song; few are played often.
    pub(super) song_weights: Weighted,
    /// `"city":"..","zip":"..","state":".."` of each city.
    pub(super) cities: Pieces,
    /// `"lon":..,"lat":..` of each city.
    pub(super) coordinates: Pieces,
    /// Draws a city by its population.
    pub(super) city_weights: Weighted,
    /// `"userAgent":".."` of each browser.
    pub(super) agents: Pieces,
    /// Draws a browser by how common it is.
    pub(super) agent_weights: Weighted,
    /// `"lastName":".."`.
    pub(super) last_names: Pieces,
    /// Draws a last name.
    pub(super) last_name_weights: Weighted,
    /// `"firstName":"..","gender":"F"`, then those with `M`.
    pub(super) first_names: Pieces,
    /// Draws a first name.
    pub(super) first_name_weights: Weighted,
}

/// The catalogue.
pub(super) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(Catalogue::build)
}

impl Catalogue {
    fn build() -> Self {
        let (songs, song_ms) = songs();
        let (cities, coordinates, city_weights) = cities();
        let (agents, agent_weights) = agents();
        let last_names = pieces(words::LAST.split_whitespace().map(|name| format!("\"lastName\":{}", quoted(name))));
        let first_names = pieces([(words::FEMALE, 'F'), (words::MALE, 'M')].into_iter().flat_map(|(names, gender)| {
            let piece = move |name| format!("\"firstName\":{},\"gender\":\"{gender}\"", quoted(name));
            names.split_whitespace().map(piece)
        }));
        let half = words::FEMALE.split_whitespace().count();
        let rank = |index: usize| if index < half { index } else { index - half };
        let first_weights: Vec<f64> =
            (0..first_names.len()).map(|index| libm::pow(rank(index) as f64 + 10.0, -0.7)).collect();
        Self {
            song_weights: Weighted::by_rank(songs.len(), 0.6),
            songs,
            song_ms,
            cities,
            coordinates,
            city_weights,
            agents,
            agent_weights,
            last_name_weights: Weighted::by_rank(last_names.len(), 0.7),
            last_names,
            first_names,
            first_name_weights: Weighted::new(&first_weights),
        }
    }
}

fn pieces(texts: impl Iterator<Item = String>) -> Pieces {
    let mut pieces = Pieces::default();
    texts.for_each(|text| pieces.push(&text));
    pieces
}

/// The text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Cities, their coordinates, and how to draw one. A line: name, state, zip, lon, lat, thousands of people.
fn cities() -> (Pieces, Pieces, Weighted) {
    let (mut cities, mut coordinates, mut weights) = (Pieces::default(), Pieces::default(), Vec::new());
    for line in include_str!("data/cities.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if let [city, state, zip, lon, lat, people] = fields[..] {
            cities.push(&format!("\"city\":{},\"zip\":{},\"state\":{}", quoted(city), quoted(zip), quoted(state)));
            coordinates.push(&format!("\"lon\":{lon},\"lat\":{lat}"));
            weights.push(people.parse().unwrap_or(1.0));
        }
    }
    (cities, coordinates, Weighted::new(&weights))
}

/// Browsers, and how to draw one. A line: weight, `|`, text.
fn agents() -> (Pieces, Weighted) {
    let (mut agents, mut weights) = (Pieces::default(), Vec::new());
    for (weight, agent) in include_str!("data/agents.txt").lines().filter_map(|line| line.split_once('|')) {
        agents.push(&format!("\"userAgent\":{}", quoted(agent)));
        weights.push(weight.parse().unwrap_or(1.0));
    }
    (agents, Weighted::new(&weights))
}

/// Songs in random order (the first are played most), and their lengths in milliseconds.
fn songs() -> (Pieces, Vec<u32>) {
    let mut random = Random::new(0, Purpose::Catalogue, 0, 1);
    let inventor = Inventor::new();
    let mut all = Vec::with_capacity(ARTISTS * SONGS_PER_ARTIST as usize);
    for _ in 0..ARTISTS {
        let artist = quoted(&inventor.artist(&mut random));
        for _ in 0..1 + random.below(2 * SONGS_PER_ARTIST) {
            let song = quoted(&inventor.song(&mut random));
            let hundred_thousandths = duration(&mut random);
            let seconds = f64::from(hundred_thousandths) / 100_000.0;
            let piece =
                format!("\"artist\":{artist},\"song\":{song},\"duration\":{}", serde_json::Value::from(seconds));
            all.push((piece, hundred_thousandths / 100));
        }
    }
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last as u32 + 1) as usize);
    }
    let mut songs = Pieces::default();
    all.iter().for_each(|(piece, _)| songs.push(piece));
    (songs, all.into_iter().map(|(_, milliseconds)| milliseconds).collect())
}

/// Seconds times 100,000: mostly about four minutes; one in forty is an interlude of under 30 s.
fn duration(random: &mut Random) -> u32 {
    if random.chance(0.025) {
        return 400_000 + random.below(2_590_000);
    }
    let seconds = (240.0 * random.log_normal_factor(0.3)).clamp(31.0, 1_800.0);
    (seconds * 100_000.0) as u32
}

/// Makes up names from the word lists.
struct Inventor {
    adjectives: Vec<&'static str>,
    nouns: Vec<&'static str>,
    verbs: Vec<&'static str>,
    places: Vec<&'static str>,
    first: Vec<&'static str>,
    last: Vec<&'static str>,
}

impl Inventor {
    fn new() -> Self {
        let list = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        let mut first = list(words::FEMALE);
        first.extend(list(words::MALE));
        Self {
            adjectives: list(words::ADJECTIVES),
            nouns: list(words::NOUNS),
            verbs: list(words::VERBS),
            places: list(words::PLACES),
            first,
            last: list(words::LAST),
        }
    }

    fn artist(&self, random: &mut Random) -> String {
        let form = random.below(16);
        let adjective = one(&self.adjectives, random);
        let (noun, other) = (one(&self.nouns, random), one(&self.nouns, random));
        let (first, last) = (one(&self.first, random), one(&self.last, random));
        match form {
            0..=2 => format!("The {adjective} {noun}s"),
            3..=4 => format!("{adjective} {noun}"),
            5..=8 => format!("{first} {last}"),
            9 => format!("{first} {last} & the {adjective} {noun}s"),
            10 => format!("{noun} {other} feat. {first} {last}"),
            11 => format!("DJ {noun}"),
            12 => format!("{last} Quartet"),
            13 => format!("{noun} / {other}"),
            14 => format!("{adjective} {noun} Orchestra"),
            _ => format!("{first} \"{noun}\" {last}"),
        }
    }

    fn song(&self, random: &mut Random) -> String {
        let form = random.below(20);
        let adjective = one(&self.adjectives, random);
        let (noun, other) = (one(&self.nouns, random), one(&self.nouns, random));
        let (verb, place) = (one(&self.verbs, random), one(&self.places, random));
        match form {
            0..=2 => format!("{adjective} {noun}"),
            3 => format!("{adjective} {noun} (2011 Digital Remaster)"),
            4..=5 => format!("{verb} the {noun}"),
            6 => format!("{verb} the {noun} of the {adjective} {other}"),
            7 => format!("{noun} in {place}"),
            8 => format!("{noun} in {place} (Extended Mix)"),
            9 => format!("Don't {verb} the {noun}"),
            10 => format!("{verb} Me"),
            11 => format!("{verb} the {noun} (Album Version)"),
            12 => format!("{adjective} {noun} (Live in {place})"),
            13 => format!("{noun} and {other} (From \"{adjective} {noun}\")"),
            14 => format!("{verb} My {adjective} {noun}"),
            15 => place.to_string(),
            16 => format!("{noun} Song"),
            17 => format!("{adjective} {noun} [{place} Remix]"),
            18 => format!("Never {verb} a {noun}"),
            _ => format!("\"{noun}\" ({other} \\ {adjective})"),
        }
    }
}

fn one(list: &[&'static str], random: &mut Random) -> &'static str {
    list[random.below(list.len() as u32) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(piece: &[u8]) -> serde_json::Map<String, serde_json::Value> {
        let text = format!("{{{}}}", std::str::from_utf8(piece).unwrap());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn every_piece_is_json() {
        let catalogue = catalogue();
        let lists = [
            (&catalogue.songs, 3),
            (&catalogue.cities, 3),
            (&catalogue.coordinates, 2),
            (&catalogue.agents, 1),
            (&catalogue.last_names, 1),
            (&catalogue.first_names, 2),
        ];
        for (pieces, fields) in lists {
            assert!(pieces.len() > 30);
            for index in 0..pieces.len() {
                assert_eq!(object(pieces.get(index)).len(), fields);
            }
        }
    }

    #[test]
    fn songs_are_many_and_last_as_long_as_they_say() {
        let catalogue = catalogue();
        assert!((10_000..40_000).contains(&catalogue.songs.len()), "{}", catalogue.songs.len());
        let mut short = 0;
        for (index, &milliseconds) in catalogue.song_ms.iter().enumerate() {
            let seconds = object(catalogue.songs.get(index))["duration"].as_f64().unwrap();
            assert!((seconds * 1_000.0 - f64::from(milliseconds)).abs() <= 1.0);
            short += usize::from(seconds < 30.0);
        }
        let share = short as f64 / catalogue.songs.len() as f64;
        assert!((0.01..0.04).contains(&share), "{share}");
    }

    #[test]
    fn cities_are_in_the_united_states() {
        let catalogue = catalogue();
        let mut states = std::collections::BTreeSet::new();
        assert_eq!(catalogue.cities.len(), include_str!("data/cities.csv").lines().count() - 1);
        for index in 0..catalogue.cities.len() {
            let city = object(catalogue.cities.get(index));
            let zip = city["zip"].as_str().unwrap();
            assert!(zip.len() == 5 && zip.bytes().all(|digit| digit.is_ascii_digit()), "{zip}");
            states.insert(city["state"].as_str().unwrap().to_owned());
            let place = object(catalogue.coordinates.get(index));
            assert!((-168.0..-66.0).contains(&place["lon"].as_f64().unwrap()));
            assert!((18.0..72.0).contains(&place["lat"].as_f64().unwrap()));
        }
        assert_eq!(states.len(), 51);
    }
}

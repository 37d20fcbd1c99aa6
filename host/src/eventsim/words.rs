//! Words from which the catalogue makes names of people, artists and songs.
//!
//! Each list is one text of words between spaces, the most frequent first. Changing a word changes every stream of
//! events (and the golden hash in the tests), so do it only with a reason.

/// First names of users whose gender is `F`.
pub(super) const FEMALE: &str = "Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Karen Sarah Lisa Nancy \
    Sandra Betty Ashley Emily Kimberly Margaret Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Sharon \
    Laura Cynthia Dorothy Amy Kathleen Angela Shirley Emma Brenda Pamela Nicole Anna Samantha Katherine Christine Debra \
    Rachel Carolyn Janet Maria Olivia Heather Helen Catherine Diane Julie Victoria Joyce Lauren Kelly Christina Ruth \
    Joan Virginia Judith Evelyn Hannah Andrea Megan Cheryl Jacqueline Madison Teresa Abigail Sophia Martha Sara Gloria \
    Janice Kathryn Ann Isabella Judy Charlotte Julia Grace Amber Alice Jean Denise Frances Danielle Marilyn Natalie \
    Beverly Diana Brittany Theresa Kayla Alexis Doris Lori Tiffany Chloë Zoë Renée Sofía";

/// First names of users whose gender is `M`.
pub(super) const MALE: &str = "James Robert John Michael David William Richard Joseph Thomas Christopher Charles Daniel \
    Matthew Anthony Mark Donald Steven Andrew Paul Joshua Kenneth Kevin Brian Timothy Ronald George Jason Edward \
    Jeffrey Ryan Jacob Nicholas Gary Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin Samuel Gregory Alexander \
    Patrick Frank Raymond Jack Dennis Jerry Tyler Aaron Jose Adam Nathan Henry Zachary Douglas Peter Kyle Noah Ethan \
    Jeremy Christian Walter Keith Austin Roger Terry Sean Gerald Carl Dylan Harold Jordan Jesse Bryan Lawrence Arthur \
    Gabriel Bruce Logan Billy Joe Alan Juan Elijah Willie Albert Wayne Randy Mason Vincent Liam Roy Bobby Caleb Bradley \
    Russell Lucas José Jürgen André Seán";

/// Last names.
pub(super) const LAST: &str = "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez \
    Gonzalez Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez \
    Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera \
    Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris \
    Morales Murphy Cook Rogers Gutierrez Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward \
    Richardson Watson Brooks Chavez Wood James Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel \
    Myers Long Ross Foster Jimenez Powell Jenkins Perry Russell Sullivan Bell Coleman Butler Henderson Barnes Gonzales \
    Fisher Vasquez Simmons Romero Jordan Patterson Alexander Hamilton Graham Reynolds Griffin Wallace Moreno West Cole \
    Hayes Bryant Herrera Gibson Ellis Tran Medina Aguilar Stevens Murray Ford Castro Marshall Owens Harrison Fernandez \
    McDonald Woods Washington Kennedy Wells Vargas Henry Chen Freeman Webb Tucker Guzman Burns Crawford Olson Simpson \
    Porter Hunter Gordon Mendez Silva Shaw Snyder Mason Dixon Munoz Hunt Hicks Holmes Palmer Wagner Black Robertson Boyd \
    Rose Stone Salazar Fox Warren Mills Meyer Rice Schmidt Garza Daniels Ferguson Nichols Stephens Soto Weaver Ryan \
    Gardner Payne Grant Dunn Kelley Spencer Hawkins O'Brien O'Connor D'Angelo Núñez Müller Peña Saint-Pierre";

/// Adjectives for artists and songs.
pub(super) const ADJECTIVES: &str = "Velvet Electric Silent Golden Broken Midnight Crimson Hollow Paper Neon Distant \
    Lonesome Wild Frozen Burning Quiet Restless Faded Silver Secret Crooked Gentle Hungry Lucky Northern Southern Pale \
    Rusty Sleepy Stolen Sudden Tender Twisted Violet Wandering Weary Yellow Blue Bitter Bright Careless Cosmic Dusty \
    Endless Fearless Floating Foreign Half Heavy Hidden Holy Honest Humble Invisible Last Little Lost Magnetic Modern \
    Naked Nervous Old Perfect Plastic Private Purple Rapid Sacred Scarlet Second Shallow Simple Slow Solar Spare Static \
    Strange Sweet Tall Tidal Tiny Tired Wooden Young Élégant Über";

/// Nouns for artists and songs.
pub(super) const NOUNS: &str = "River Mirror Engine Garden Lantern Harbor Sparrow Thunder Machine Window Shadow Ocean \
    Mountain Letter Station Highway Ghost Candle Compass Kingdom Circus Wolf Raven Tiger Orchid Desert Island Winter \
    Summer Autumn Morning Sunday Satellite Signal Radio Telephone Cathedral Carousel Caravan Anchor Arrow Avenue Ballroom \
    Balloon Barricade Beacon Blossom Bonfire Bridge Canyon Castle Cavern Chapel Cinema City Cloud Colony Comet Copper \
    Corner Cradle Crystal Daughter Diamond Dollar Dragon Dream Eagle Echo Ember Empire Falcon Feather Fever Fiction Flame \
    Forest Fountain Fox Galaxy Glacier Hammer Heart Heaven Horizon Horse Hotel Hurricane Jungle Ladder Lake Lemon Light \
    Lion Magnet Maple Marble Meadow Memory Monument Moon Motel Museum Needle Night Oracle Orchard Palace Parade Pilot \
    Planet Pocket Prairie Promise Rain Ribbon Robot Rocket Rumor Sailor Season Serpent Shelter Shore Siren Sister Skyline \
    Smoke Snow Soldier Spark Spiral Staircase Star Stone Storm Stranger Street Sugar Sunset Swan Teacher Temple Tower \
    Train Tunnel Valley Vessel Village Violin Voyage Water Weather Whale Willow Wonder Zeppelin Café Piñata";

/// Verbs for songs.
pub(super) const VERBS: &str = "Follow Remember Forget Chase Carry Hold Leave Break Build Burn Call Catch Change Cross Drive \
    Find Fix Hear Hide Keep Know Lose Love Miss Move Need Open Paint Play Read Ride Run Save See Send Shake Sing Steal \
    Stop Take Tell Touch Trust Turn Wake Want Watch Write";

/// Places for songs.
pub(super) const PLACES: &str = "Memphis Texas Chicago Paris Tokyo Berlin Havana Dublin Nashville Georgia Carolina Alaska \
    Montana Brooklyn Detroit Reno Tulsa Lisbon Reykjavík Málaga Zürich";

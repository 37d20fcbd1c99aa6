//! Consumer groups, asked from outside of them. Blocking.

use rdkafka::consumer::Consumer as _;
use rdkafka::groups::GroupInfo;
use serde::Serialize;

use super::group::Group;
use super::{Client, cluster, failure, positions, refused, settings};
use crate::config::KafkaConfig;
use crate::error::Result;
use crate::source::TopicPartition;

/// What a broker calls a group that it cannot describe in the way that it is asked: those whose members are assigned by it.
const NOT_DESCRIBED: &str = "Dead";

/// One consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ConsumerGroup {
    /// Its name.
    pub group: String,
    /// What the broker says of it: `Stable`, `Empty`, ... Null: it does not tell, as of groups under the consumer protocol.
    pub state: Option<String>,
    /// How its topic partitions are shared out, where it is told.
    pub protocol: Option<String>,
    /// How many members it has, where it is told.
    pub members: Option<usize>,
}

/// Where a group is in one topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GroupPosition {
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// The next offset that it wants, as it committed.
    pub committed: i64,
    /// The end, exclusive.
    pub high: i64,
    /// Messages in between, at most: offsets have gaps.
    pub lag: i64,
}

/// All groups that the user may see, by name.
///
/// # Errors
/// The brokers do not answer.
pub fn consumer_groups(config: &KafkaConfig) -> Result<Vec<ConsumerGroup>> {
    let client: Client = settings::asking_client(config).create_with_context(Group::new(false)).map_err(refused)?;
    let failed = |error| failure::asking(client.context(), "cannot ask Kafka for its groups", error);
    let list = client.fetch_group_list(None, positions::ANSWER).map_err(failed)?;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let group = |group: &GroupInfo| {
        let is_told = group.state() != NOT_DESCRIBED;
        ConsumerGroup {
            group: group.name().to_owned(),
            state: text(group.state()).filter(|_| is_told),
            protocol: text(group.protocol()).filter(|_| is_told),
            members: is_told.then(|| group.members().len()),
        }
    };
    let mut groups: Vec<_> = list.groups().iter().map(group).collect();
    groups.sort_by(|one, other| one.group.cmp(&other.group));
    Ok(groups)
}

/// Where a group is, by topic and number, in the topics that the user may see. Empty: it has committed nothing, or there is no
/// such group, which brokers do not tell apart.
///
/// # Errors
/// The brokers do not answer, or do not let the user look.
pub fn group_positions(config: &KafkaConfig, group: &str) -> Result<Vec<GroupPosition>> {
    let mut settings = settings::asking_client(config);
    // Only the group's name says which offsets are asked for; without a subscription nobody joins.
    settings.set("group.id", group);
    let client: Client = settings.create_with_context(Group::new(false)).map_err(refused)?;
    let metadata = cluster::metadata(&client, config, None)?;
    let led = metadata.topics().iter().flat_map(|topic| {
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0);
        led.map(|partition| TopicPartition::new(topic.name(), partition.id()))
    });
    let all: Vec<_> = led.collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let committed = positions::committed_so_far(&client, &all)?;
    let known: Vec<_> = all.into_iter().zip(committed).filter_map(|(of, next)| Some((of, next?))).collect();
    let names: Vec<_> = known.iter().map(|(of, _)| of.clone()).collect();
    let ends = positions::ends(&client, &names)?;
    let position = |((of, committed), high): ((TopicPartition, i64), i64)| GroupPosition {
        topic: of.topic.to_string(),
        topic_partition: of.partition,
        committed,
        high,
        lag: (high - committed).max(0),
    };
    let mut positions: Vec<_> = known.into_iter().zip(ends).map(position).collect();
    positions.sort_by(|one, other| (&one.topic, one.topic_partition).cmp(&(&other.topic, other.topic_partition)));
    Ok(positions)
}

//! What an error code of Kafka means for the caller.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::group::Group;
use crate::error::{Error, ErrorKind};
use crate::kerberos;
use crate::source::TopicPartition;
use crate::source::kafka_ffi::Notice;

/// How long to try, and who must act.
fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SSL
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidTopic
        | Code::InvalidGroupId
        | Code::InvalidConfig
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedVersion
        | Code::UnsupportedAssignor
        | Code::UnreleasedInstanceId
        | Code::FencedInstanceId
        | Code::Fatal => ErrorKind::Fatal,
        _ => ErrorKind::Transient,
    }
}

fn what_to_do(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "check security.protocol and the sasl.* settings under [source.kafka.options]"
        }
        Code::SSL => "check security.protocol and the ssl.* settings under [source.kafka.options]",
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            "check topics = [...] in [source.kafka]; topics are never created by reading"
        }
        Code::TopicAuthorizationFailed => "the user needs READ and DESCRIBE on the topic",
        Code::GroupAuthorizationFailed => "the user needs READ on the group",
        Code::InconsistentGroupProtocol => {
            "all members of the group need the same group.protocol and partition.assignment.strategy"
        }
        Code::UnsupportedVersion => "the brokers do not know group.protocol = \"consumer\": leave it out",
        Code::UnreleasedInstanceId | Code::FencedInstanceId => "each process needs a group.instance.id of its own",
        _ => return None,
    })
}

/// A question to the brokers failed.
pub(super) fn asking(group: &Group, what: &str, error: KafkaError) -> Error {
    let code = error.rdkafka_error_code();
    let unreachable = matches!(
        code,
        Some(Code::OperationTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve) | None
    );
    // What the client met meanwhile says more than that the answer did not come.
    match group.last_error().filter(|_| unreachable) {
        Some((code, reason)) => of_code(code, format!("{what}: {reason}")).because(error),
        None => of_code(code.unwrap_or(Code::Unknown), what.to_owned()).because(error),
    }
}

/// An error of this code that does not pass.
pub(super) fn fatal(code: Code, message: &str) -> Error {
    let error = Error::fatal(message);
    match what_to_do(code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// An error of this code.
pub(super) fn of_code(code: Code, message: String) -> Error {
    if let Some(advice) = kerberos::advice(&message) {
        let kind = if advice.may_pass { ErrorKind::Transient } else { ErrorKind::Fatal };
        return Error::new(kind, format!("{}: {message}", advice.what)).hint(advice.hint);
    }
    let error = Error::new(kind_of(code), message);
    match what_to_do(code) {
        Some(hint) => error.hint(hint),
        None if kind_of(code) == ErrorKind::Transient => error.hint("check brokers = \"...\" and the network"),
        None => error,
    }
}

/// Messages from `position` up to `first`, the first that Kafka still has, have expired, and the user wants to decide.
pub(super) fn expired(topic_partition: &TopicPartition, position: i64, first: i64) -> Error {
    let lost = first - position;
    Error::fatal(format!(
        "offsets {position} to {} of {topic_partition} have expired in Kafka before they were read ({lost} offsets)",
        first - 1
    ))
    .hint(
        "they are lost. To go on behind them, and have the gap recorded: on_data_loss = \"record\" in [source.kafka], or \
         `wasmill offsets set` for this topic partition alone. Raise the topic's retention so that it does not happen again",
    )
}

/// The position lies beyond all that Kafka has: the log lost its end.
pub(super) fn beyond_the_end(topic_partition: &TopicPartition, position: i64, end: i64) -> Error {
    Error::fatal(format!("offset {position} of {topic_partition} lies beyond its end, {end}: the topic has lost messages"))
        .hint(
            "was it restored from a copy, or did a broker without all messages become leader \
             (unclean.leader.election.enable)? What Kafka lost stands in the table; `wasmill offsets set` says where to go on",
        )
}

/// What a notice in a topic partition's queue means: `None` for what passes by itself, because the client goes on.
pub(super) fn of_notice(topic_partition: &TopicPartition, position: i64, notice: Notice) -> Option<Error> {
    let Notice { code, text } = notice;
    let error = match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => {
            Error::fatal(format!("{topic_partition} is not in Kafka any more"))
                .hint("was the topic deleted? take it out of topics = [...], or begin with a new checkpoint location")
        }
        Code::TopicAuthorizationFailed => Error::fatal(format!("not allowed to read {topic_partition}"))
            .hint("the user needs READ and DESCRIBE on the topic"),
        Code::BadMessage | Code::InvalidMessage | Code::BadCompression => {
            Error::fatal(format!("a message of {topic_partition} at or after offset {position} is damaged"))
                .hint("read it with Kafka's own tools; a replica may hold it undamaged")
        }
        Code::UnsupportedFeature | Code::NotImplemented => {
            Error::fatal(format!("{topic_partition} holds messages that this program cannot read"))
                .hint("is it a codec that the program was built without?")
        }
        Code::LogTruncation => Error::fatal(format!("{topic_partition} was truncated before offset {position}")).hint(
            "a broker without all messages became leader (unclean.leader.election.enable): what was lost there \
                   may stand in the table",
        ),
        _ => {
            tracing::warn!(%topic_partition, ?code, "{text}");
            return None;
        }
    };
    Some(error.because(text))
}

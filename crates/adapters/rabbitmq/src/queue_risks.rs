//! Rules that find the policies and arguments of queues by which accepted operations can be lost.
//! `docs/operating.md` lists them in a table.
//!
//! A message that the broker removes from the schedule queue becomes a dead letter, which is kept
//! in a queue and in a stream. It is lost if it is not sent at least once, or if neither keeps it.
//! The stream also keeps a copy of parked unreadable messages, which may be operations of a later
//! version.

use bakehouse_engine::ports::QueueRisk;
use serde_json::Value;

use crate::management::QueueState;

/// Overflow behaviour without loss.
const REJECT_PUBLISH: &str = "reject-publish";
/// Fix suggested for a queue that another program has declared.
const REDECLARE_FIX: &str = "make sure that no other program declares the queue, and run \
                             events-writer, which replaces it";
/// Keys that limit the length of a queue.
const LENGTHS: [&str; 2] = ["max-length", "max-length-bytes"];
/// Keys by which a stream drops its oldest messages.
const RETENTION: [&str; 2] = ["max-age", "max-length-bytes"];

/// Queue with its name and state.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) state: QueueState,
}

/// All queues that may hold accepted operations.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    pub(crate) vhost: String,
    /// Exchange to which the schedule queue's dead letters must be sent.
    pub(crate) dead_letter_exchange: String,
    /// Schedule queue, and the queue that stands in for it during a migration.
    pub(crate) scheduled: Vec<Queue>,
    pub(crate) dead_letters: Option<Queue>,
    pub(crate) parked: Option<Queue>,
    /// Stream of dead letters and unreadable messages.
    pub(crate) stream: Option<Queue>,
}

/// Setting of a queue: key and value, from a policy or an argument.
struct Setting<'a> {
    queue: &'a Queue,
    key: &'static str,
    value: &'a Value,
    is_policy: bool,
}

impl Queue {
    fn policy(&self, key: &'static str) -> Option<Setting<'_>> {
        let value = self.state.policies.as_ref()?.get(key)?;
        Some(self.setting(key, value, true))
    }

    fn argument(&self, key: &'static str) -> Option<Setting<'_>> {
        let value = self.state.arguments.get(&format!("x-{key}"))?;
        Some(self.setting(key, value, false))
    }

    fn either(&self, key: &'static str) -> Option<Setting<'_>> {
        self.policy(key).or_else(|| self.argument(key))
    }

    fn setting<'a>(&'a self, key: &'static str, value: &'a Value, is_policy: bool) -> Setting<'a> {
        Setting {
            queue: self,
            key,
            value,
            is_policy,
        }
    }

    /// Returns whether a full queue refuses new messages. A policy overrides the argument.
    fn refuses_when_full(&self) -> bool {
        let overflow = self.either("overflow");
        overflow.is_some_and(|overflow| overflow.value == REJECT_PUBLISH)
    }

    /// Returns the limit of the queue's length, if a full queue drops messages.
    fn dropping_limit(&self) -> Option<Setting<'_>> {
        let limit = LENGTHS.into_iter().find_map(|key| self.either(key));
        limit.filter(|_| !self.refuses_when_full())
    }

    /// Returns the setting by which the queue loses messages that are not consumed in time.
    fn lossy_setting(&self) -> Option<Setting<'_>> {
        let expiry = self
            .either("expires")
            .or_else(|| self.either("message-ttl"));
        let expiry = expiry.or_else(|| self.dropping_limit());
        expiry.or_else(|| self.policy("delivery-limit"))
    }
}

impl Setting<'_> {
    /// Describes the setting: queue, policy or argument, key and value.
    fn description(&self) -> String {
        let Self {
            queue, key, value, ..
        } = self;
        let name = &queue.name;
        let QueueState {
            policy,
            operator_policy,
            ..
        } = &queue.state;
        let source = match (policy, operator_policy) {
            _ if !self.is_policy => format!("argument x-{key} is {value}"),
            (Some(policy), Some(operator)) => {
                format!("policy {policy:?} or operator policy {operator:?} sets {key}={value}")
            }
            (Some(policy), None) => format!("policy {policy:?} sets {key}={value}"),
            (None, Some(operator)) => format!("operator policy {operator:?} sets {key}={value}"),
            (None, None) => format!("a policy sets {key}={value}"),
        };
        format!("queue {name}: {source}")
    }

    fn fix(&self, vhost: &str) -> String {
        if !self.is_policy {
            return REDECLARE_FIX.into();
        }
        let QueueState {
            policy,
            operator_policy,
            ..
        } = &self.queue.state;
        let command = |verb: &str, name: &String| {
            let (vhost, name) = (quoted(vhost), quoted(name));
            format!("rabbitmqctl {verb} -p {vhost} {name}")
        };
        let clear = policy.as_ref().map(|name| command("clear_policy", name));
        let operator = operator_policy.as_ref();
        let operator = operator.map(|name| command("clear_operator_policy", name));
        let commands: Vec<String> = clear.into_iter().chain(operator).collect();
        format!(
            "{}, or change its pattern so that it does not match",
            commands.join(", or ")
        )
    }

    fn risk(&self, vhost: &str, effect: &str) -> QueueRisk {
        QueueRisk {
            queue: self.queue.name.clone(),
            what: format!("{}: {effect}", self.description()),
            fix: self.fix(vhost),
        }
    }
}

impl Queues {
    /// Returns the risks of all queues.
    pub(crate) fn risks(&self) -> Vec<QueueRisk> {
        let mut risks = Vec::new();
        for queue in &self.scheduled {
            self.scheduled_risks(queue, &mut risks);
        }
        risks.extend(self.parked_risk());
        risks
    }

    /// Returns the name of a queue whose policies the broker has not reported yet. A stream without
    /// reported policies counts as missing instead.
    pub(crate) fn unknown(&self) -> Option<&str> {
        let others = [&self.dead_letters, &self.parked].into_iter().flatten();
        let mut all = self.scheduled.iter().chain(others);
        let unknown = all.find(|queue| queue.state.policies.is_none());
        unknown.map(|queue| queue.name.as_str())
    }

    fn scheduled_risks(&self, queue: &Queue, risks: &mut Vec<QueueRisk>) {
        let vhost = self.vhost.as_str();
        risks.extend(form_risk(queue));
        if let Some(expires) = queue.either("expires") {
            let effect = "the broker deletes the queue, with the accepted operations in it, after \
                          that many milliseconds without a consumer";
            risks.push(expires.risk(vhost, effect));
        }
        let overflow = queue.policy("overflow");
        if let Some(overflow) = overflow.filter(|_| !queue.refuses_when_full()) {
            let effect = "it overrides the queue's argument; a full queue drops accepted \
                          operations, and dead letters are sent at most once";
            risks.push(overflow.risk(vhost, effect));
        } else if let Some(limit) = queue.dropping_limit() {
            let effect = "a full queue drops accepted operations, since it was declared without \
                          x-overflow=reject-publish";
            risks.push(limit.risk(vhost, effect));
        }
        if let Some(ttl) = queue.either("message-ttl") {
            let effect = match self.dead_letter_loss(queue) {
                Some(loss) => format!(
                    "accepted operations that wait that many milliseconds are lost, since no dead \
                     letter is kept: {loss}"
                ),
                None => {
                    "accepted operations that wait that many milliseconds leave the queue, and \
                         come back out of order, as dead letters"
                        .into()
                }
            };
            risks.push(ttl.risk(vhost, &effect));
        }
        if let Some(limit) = queue.policy("delivery-limit")
            && let Some(loss) = self.dead_letter_loss(queue)
        {
            let effect = format!(
                "accepted operations that are delivered more often are lost, since no dead letter \
                 is kept: {loss}"
            );
            risks.push(limit.risk(vhost, &effect));
        }
    }

    /// Returns the reason for which a dead letter of this queue may be lost, if there is one.
    fn dead_letter_loss(&self, queue: &Queue) -> Option<String> {
        let exchange = queue.argument("dead-letter-exchange");
        if exchange.is_none_or(|exchange| exchange.value != self.dead_letter_exchange.as_str()) {
            let exchange = &self.dead_letter_exchange;
            return Some(format!(
                "the queue was declared without x-dead-letter-exchange={exchange}"
            ));
        }
        let stream = self.stream_loss()?;
        let queue = match &self.dead_letters {
            Some(queue) => queue.lossy_setting()?.description(),
            None => "there is no dead-letter queue".into(),
        };
        Some(format!("{queue}; {stream}"))
    }

    /// Returns the reason for which the stream may lose messages, if there is one.
    fn stream_loss(&self) -> Option<String> {
        let none = "there is no dead-letter stream";
        let Some(stream) = &self.stream else {
            return Some(none.into());
        };
        if stream.state.policies.is_none() || stream.state.kind != "stream" {
            return Some(none.into());
        }
        let retention = RETENTION.into_iter().find_map(|key| stream.either(key));
        retention.map(|setting| setting.description())
    }

    fn parked_risk(&self) -> Option<QueueRisk> {
        let setting = self.parked.as_ref()?.lossy_setting()?;
        // The queue has no consumer, so that nothing in it is ever delivered.
        if setting.key == "delivery-limit" {
            return None;
        }
        let stream = self.stream_loss()?;
        let effect =
            format!("unreadable messages are lost, since nothing else keeps them: {stream}");
        Some(setting.risk(&self.vhost, &effect))
    }
}

/// Returns the risk of a queue that is not a durable quorum queue.
fn form_risk(queue: &Queue) -> Option<QueueRisk> {
    let QueueState {
        kind,
        is_durable,
        is_auto_deleted,
        ..
    } = &queue.state;
    if kind == "quorum" && *is_durable && !is_auto_deleted {
        return None;
    }
    let name = &queue.name;
    let durable = if *is_durable { "" } else { ", not durable" };
    let deleted = match is_auto_deleted {
        true => ", deleted with its last consumer",
        false => "",
    };
    Some(QueueRisk {
        queue: name.clone(),
        what: format!(
            "queue {name}: type is {kind}{durable}{deleted}: only a durable quorum queue keeps \
             accepted operations safe"
        ),
        fix: REDECLARE_FIX.into(),
    })
}

/// Quotes a word for the shell, if necessary.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn queue(name: &str, kind: &str, arguments: Value, policies: Value) -> Queue {
        let policies = object(policies);
        let state = QueueState {
            kind: kind.into(),
            is_durable: true,
            is_auto_deleted: false,
            arguments: object(arguments),
            policy: (!policies.is_empty()).then(|| "p".to_owned()),
            policies: Some(policies),
            operator_policy: None,
        };
        Queue {
            name: name.into(),
            state,
        }
    }

    /// Returns the queues as this version declares them, with policies on each.
    fn queues(schedule: Value, letters: Value, parked: Value, stream: Value) -> Queues {
        let arguments = json!({
            "x-queue-type": "quorum", "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "dlx", "x-dead-letter-strategy": "at-least-once",
            "x-delivery-limit": i32::MAX,
        });
        let plain = json!({"x-queue-type": "quorum", "x-delivery-limit": i32::MAX});
        Queues {
            vhost: "/".into(),
            dead_letter_exchange: "dlx".into(),
            scheduled: vec![queue("schedule", "quorum", arguments, schedule)],
            dead_letters: Some(queue("letters", "quorum", plain.clone(), letters)),
            parked: Some(queue("parked", "quorum", plain, parked)),
            stream: Some(queue(
                "stream",
                "stream",
                json!({"x-queue-type": "stream"}),
                stream,
            )),
        }
    }

    fn on_schedule(policy: Value) -> Queues {
        queues(policy, json!({}), json!({}), json!({}))
    }

    /// Returns the queues under a policy on `.*`. RabbitMQ 3.10 does not apply these keys to
    /// streams.
    fn on_all(policy: Value) -> Queues {
        queues(policy.clone(), policy.clone(), policy, json!({}))
    }

    fn whats(queues: &Queues) -> Vec<String> {
        queues.risks().into_iter().map(|risk| risk.what).collect()
    }

    #[test]
    fn policies_without_loss_are_no_risk() {
        for policy in [
            json!({}),
            json!({"max-length": 5}),
            json!({"max-length-bytes": 5, "overflow": "reject-publish"}),
            json!({"delivery-limit": 3}),
            json!({"dead-letter-exchange": "foreign", "dead-letter-strategy": "at-most-once"}),
            json!({"ha-sync-mode": "automatic", "queue-leader-locator": "balanced"}),
        ] {
            assert_eq!(whats(&on_all(policy.clone())), [""; 0], "{policy}");
        }
    }

    #[test]
    fn policies_that_lose_accepted_operations_are_risks() {
        for (policy, words) in [
            (
                json!({"expires": 600_000}),
                "expires=600000: the broker deletes",
            ),
            (
                json!({"max-length": 5, "overflow": "drop-head"}),
                "overflow=\"drop-head\": it overrides",
            ),
            (
                json!({"overflow": "reject-publish-dlx"}),
                "overflow=\"reject-publish-dlx\": it overrides",
            ),
            (json!({"message-ttl": 500}), "message-ttl=500: accepted"),
        ] {
            let risks = on_schedule(policy.clone()).risks();
            assert_eq!(risks.len(), 1, "{policy}: {risks:?}");
            let expected = format!("queue schedule: policy \"p\" sets {words}");
            assert!(risks[0].what.starts_with(&expected), "{risks:?}");
            let fix = "rabbitmqctl clear_policy -p / p, or change its pattern";
            assert!(risks[0].fix.starts_with(fix), "{risks:?}");
        }
    }

    #[test]
    fn dead_letters_are_lost_where_neither_queue_nor_stream_keeps_them() {
        let ttl = json!({"message-ttl": 500});
        let kept = whats(&on_all(ttl.clone()));
        assert!(kept[0].contains("come back out of order"), "{kept:?}");
        assert_eq!(kept.len(), 1);
        let mut without = on_all(ttl);
        without.stream = None;
        let lost = whats(&without);
        assert!(lost[0].contains("are lost"), "{lost:?}");
        assert!(lost[0].contains("queue letters: policy"), "{lost:?}");
        assert!(
            lost[0].contains("there is no dead-letter stream"),
            "{lost:?}"
        );
        assert!(lost[1].starts_with("queue parked: policy"), "{lost:?}");

        let limit = json!({"delivery-limit": 3});
        let age = json!({"max-age": "1h"});
        let both = queues(limit.clone(), limit.clone(), json!({}), age.clone());
        let lost = whats(&both);
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(lost[0].contains("queue stream: policy \"p\" sets max-age"));
        let only_stream = queues(limit, json!({}), json!({}), age);
        assert_eq!(whats(&only_stream), [""; 0]);
    }

    #[test]
    fn unreadable_messages_are_lost_where_neither_queue_nor_stream_keeps_them() {
        let length = json!({"max-length": 5});
        let age = json!({"max-age": "1h"});
        let lost = queues(json!({}), json!({}), length.clone(), age.clone());
        let lost = whats(&lost);
        assert_eq!(lost.len(), 1);
        assert!(
            lost[0].starts_with("queue parked: policy \"p\" sets max-length=5: unreadable"),
            "{lost:?}"
        );
        let kept = queues(json!({}), json!({}), length, json!({}));
        assert_eq!(whats(&kept), [""; 0]);
        let kept = queues(json!({}), json!({}), json!({"delivery-limit": 1}), age);
        assert_eq!(whats(&kept), [""; 0]);
    }

    #[test]
    fn a_queue_of_another_form_has_less_to_protect_it() {
        let mut earlier = on_schedule(json!({}));
        let bare = object(json!({"x-queue-type": "quorum"}));
        earlier.scheduled[0].state.arguments = bare.clone();
        assert_eq!(whats(&earlier), [""; 0], "nothing removes anything");
        for policy in [json!({"max-length": 5}), json!({"delivery-limit": 3})] {
            let mut limited = on_schedule(policy.clone());
            limited.scheduled[0].state.arguments = bare.clone();
            assert_eq!(whats(&limited).len(), 1, "{policy}");
        }
        let mut classic = on_schedule(json!({}));
        classic.scheduled[0].state.kind = "classic".into();
        classic.scheduled[0].state.is_durable = false;
        let form = whats(&classic);
        assert!(form[0].contains("type is classic, not durable"), "{form:?}");
        let mut expiring = on_schedule(json!({}));
        let arguments = &mut expiring.scheduled[0].state.arguments;
        arguments.insert("x-expires".into(), 1.into());
        let risks = expiring.risks();
        assert!(risks[0].what.contains("argument x-expires is 1"));
        assert!(risks[0].fix.contains("events-writer"), "{risks:?}");
    }

    #[test]
    fn operator_policies_are_named_too() {
        let mut both = on_schedule(json!({"expires": 1}));
        both.scheduled[0].state.operator_policy = Some("it's op".into());
        both.vhost = "my host".into();
        let risks = both.risks();
        let words = "policy \"p\" or operator policy \"it's op\" sets expires=1";
        assert!(risks[0].what.contains(words), "{risks:?}");
        let fix = r"rabbitmqctl clear_policy -p 'my host' p, or rabbitmqctl clear_operator_policy -p 'my host' 'it'\''s op', or";
        assert!(risks[0].fix.starts_with(fix), "{risks:?}");
        both.scheduled[0].state.policy = None;
        let risks = both.risks();
        assert!(risks[0].what.contains(": operator policy"), "{risks:?}");
        assert!(!risks[0].fix.contains("clear_policy"), "{risks:?}");
    }

    #[test]
    fn a_queue_whose_policies_are_unknown_is_named() {
        let mut fresh = on_schedule(json!({}));
        assert_eq!(fresh.unknown(), None);
        fresh.stream.as_mut().expect("a stream").state.policies = None;
        assert_eq!(fresh.unknown(), None);
        fresh.parked.as_mut().expect("a queue").state.policies = None;
        assert_eq!(fresh.unknown(), Some("parked"));
    }
}

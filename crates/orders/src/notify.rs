//! Rules and texts of notifications about orders.
//!
//! Customers are notified by mail and text message, other programs by webhooks; the operator
//! chooses the types of events for each. Frames of rejections contain no order, so that only
//! webhooks are notified of them; the sender of the command finds the rejection in its receipt.

use bakehouse_engine::model::frame;
use bakehouse_engine::model::notification::{Announcement, NotificationRules, Request};
use bakehouse_engine::ports::{Mail, ShortText};
use bakehouse_engine::{Frame, Timestamp, to_json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Orders;
use crate::{Customer, Status};

/// Filter of event types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events(Vec<String>);

/// Error of an unknown event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: expected *, or one of {all}", all = frame::kinds::<Orders>().join(", "))]
pub struct UnknownKind(String);

impl Events {
    /// Creates a filter of these types; `*` matches all of them.
    ///
    /// # Errors
    /// [`UnknownKind`] with the first type that does not exist.
    pub fn of(kinds: &[String]) -> Result<Self, UnknownKind> {
        let is_known =
            |kind: &str| kind == "*" || frame::kinds::<Orders>().iter().any(|known| known == kind);
        match kinds.iter().find(|kind| !is_known(kind)) {
            Some(unknown) => Err(UnknownKind(unknown.clone())),
            None => Ok(Self(kinds.to_vec())),
        }
    }

    fn include(&self, kind: &str) -> bool {
        self.0.iter().any(|chosen| chosen == "*" || chosen == kind)
    }
}

/// Webhook to be notified.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Name of its lane.
    pub lane: String,
    /// Host of its URL, shown as the recipient.
    pub host: String,
    /// Types of events that it receives.
    pub events: Events,
}

/// Notification rules of orders.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Types of events for which customers get a mail.
    pub mail: Events,
    /// Types of events for which customers get a text message.
    pub sms: Events,
    /// Webhooks.
    pub webhooks: Vec<Webhook>,
}

/// Lane of mails.
pub const MAIL: &str = "email";
/// Lane of text messages.
pub const SMS: &str = "sms";

/// Members of a frame that notifications need.
#[derive(Deserialize)]
struct FrameBody {
    at: Timestamp,
    order: Option<OrderSummary>,
}

/// Members of an order that notifications contain.
#[derive(Deserialize)]
struct OrderSummary {
    number: u64,
    status: Status,
    customer: Option<Customer>,
    currency: String,
    products: Vec<Line>,
    total: String,
    reference: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    quantity: u32,
    total: String,
}

/// Body of a webhook request, in the form of the Standard Webhooks specification.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    /// Frame, as subscribers of the feed receive it.
    data: &'a RawValue,
}

impl NotificationRules for Rules {
    fn announce(&self, frame: &Frame) -> Result<Announcement, serde_json::Error> {
        let body: FrameBody = serde_json::from_str(frame.body.get())?;
        let mut requests = Vec::new();
        if let Some(order) = &body.order {
            requests.extend(self.mail(&frame.kind, order)?);
            requests.extend(self.sms(&frame.kind, order)?);
        }
        for webhook in &self.webhooks {
            if webhook.events.include(&frame.kind) {
                requests.push(webhook.request(frame, body.at)?);
            }
        }
        Ok(Announcement {
            at: body.at,
            requests,
        })
    }
}

impl Rules {
    fn mail(&self, kind: &str, order: &OrderSummary) -> Result<Option<Request>, serde_json::Error> {
        let to = order.customer.as_ref().and_then(|who| who.email.clone());
        let Some(to) = to.filter(|_| self.mail.include(kind)) else {
            return Ok(None);
        };
        let mail = Mail {
            subject: headline(kind, order),
            text: mail_text(kind, order),
        };
        Ok(Some(Request {
            lane: MAIL.into(),
            channel: "email",
            to,
            message: to_json(&mail)?,
        }))
    }

    fn sms(&self, kind: &str, order: &OrderSummary) -> Result<Option<Request>, serde_json::Error> {
        let to = order.customer.as_ref().and_then(|who| who.phone.clone());
        let Some(to) = to.filter(|_| self.sms.include(kind)) else {
            return Ok(None);
        };
        let text = format!("{}. Total: {}", headline(kind, order), order.price());
        Ok(Some(Request {
            lane: SMS.into(),
            channel: "sms",
            to,
            message: to_json(&ShortText { text })?,
        }))
    }
}

impl Webhook {
    fn request(&self, frame: &Frame, at: Timestamp) -> Result<Request, serde_json::Error> {
        let payload = Payload {
            r#type: &frame.kind,
            timestamp: at,
            data: &frame.body,
        };
        Ok(Request {
            lane: self.lane.clone(),
            channel: "webhook",
            to: self.host.clone(),
            message: to_json(&payload)?,
        })
    }
}

impl OrderSummary {
    fn price(&self) -> String {
        format!("{} {}", self.total, self.currency)
    }
}

/// Builds the one-line summary of an event.
fn headline(kind: &str, order: &OrderSummary) -> String {
    let what = match (kind, order.status) {
        ("order.created", _) => "has been received",
        ("order.deleted" | "order.status", Status::Cancelled) => "has been cancelled",
        ("order.deleted", _) => "has been removed from the list of orders",
        ("order.status", Status::Paid) => "has been paid",
        ("order.status", Status::Shipped) => "is on its way",
        ("order.status", Status::Delivered) => "has been delivered",
        _ => "has been changed",
    };
    format!("Your order {} {what}", order.number)
}

/// Builds the text of a mail: the summary, and the contents of the order.
fn mail_text(kind: &str, order: &OrderSummary) -> String {
    let name = order.customer.as_ref().and_then(|who| who.name.as_deref());
    let greeting = name.map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {name},"));
    let line = |line: &Line| format!("  {} x {}: {}\n", line.quantity, line.name, line.total);
    let lines: String = order.products.iter().map(line).collect();
    let reference = order.reference.as_deref();
    let reference = reference.map_or_else(String::new, |text| format!("Your reference: {text}\n"));
    format!(
        "{greeting}\n\n{}.\n\n{lines}\nTotal: {}\n{reference}",
        headline(kind, order),
        order.price()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn frame(kind: &str, status: &str, customer: &Value) -> Frame {
        let body = json!({
            "type": kind, "position": 7, "order_id": "o", "at": "2026-01-01T12:00:07.000Z",
            "order": {
                "id": "o", "number": 3, "status": status, "customer": customer, "currency": "EUR",
                "products": [{ "sku": null, "name": "Tea", "quantity": 2, "price": "3.50", "total": "7.00" }],
                "total": "7.00", "reference": "R-1",
            },
        });
        with_body(kind, &body)
    }

    fn with_body(kind: &str, body: &Value) -> Frame {
        Frame {
            position: 7,
            kind: kind.into(),
            entity_id: "o".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(body).expect("JSON"),
        }
    }

    fn events(kinds: &[&str]) -> Events {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Events::of(&kinds).expect("known kinds")
    }

    fn rules() -> Rules {
        Rules {
            mail: events(&["order.created", "order.status"]),
            sms: events(&["order.status"]),
            webhooks: vec![Webhook {
                lane: "webhook-1".into(),
                host: "shop.example".into(),
                events: events(&["*"]),
            }],
        }
    }

    fn requests(frame: &Frame) -> Vec<(String, String, Value)> {
        let announcement = rules().announce(frame).expect("an order frame");
        let shown = |request: Request| {
            let message = serde_json::from_str(request.message.get()).expect("JSON");
            (request.lane, request.to, message)
        };
        announcement.requests.into_iter().map(shown).collect()
    }

    #[test]
    fn customers_are_notified_by_the_channels_they_have() {
        let ada =
            json!({ "id": "c", "name": "Ada", "email": "ada@example.org", "phone": "+4930123456" });
        let sent = requests(&frame("order.status", "shipped", &ada));
        let lanes: Vec<&str> = sent.iter().map(|(lane, ..)| lane.as_str()).collect();
        assert_eq!(lanes, ["email", "sms", "webhook-1"]);
        assert_eq!(sent[0].1, "ada@example.org");
        assert_eq!(sent[0].2["subject"], "Your order 3 is on its way");
        assert_eq!(
            sent[0].2["text"],
            "Hello Ada,\n\nYour order 3 is on its way.\n\n  2 x Tea: 7.00\n\nTotal: 7.00 EUR\n\
             Your reference: R-1\n"
        );
        assert_eq!(sent[1].1, "+4930123456");
        assert_eq!(
            sent[1].2["text"],
            "Your order 3 is on its way. Total: 7.00 EUR"
        );
        let unreachable = json!({ "id": "c", "name": null, "email": null });
        for customer in [Value::Null, unreachable] {
            assert_eq!(
                requests(&frame("order.created", "placed", &customer)).len(),
                1
            );
        }
    }

    #[test]
    fn a_deleted_order_that_was_delivered_is_not_called_cancelled() {
        let rules = Rules {
            mail: events(&["order.deleted"]),
            ..Rules::default()
        };
        let ada = json!({ "id": "c", "name": null, "email": "ada@example.org" });
        for (status, expected) in [
            ("cancelled", "Your order 3 has been cancelled"),
            (
                "delivered",
                "Your order 3 has been removed from the list of orders",
            ),
        ] {
            let announcement = rules.announce(&frame("order.deleted", status, &ada));
            let message = &announcement.expect("an order frame").requests[0].message;
            let mail: Value = serde_json::from_str(message.get()).expect("JSON");
            assert_eq!(mail["subject"], expected);
        }
    }

    #[test]
    fn only_chosen_types_of_events_are_notified() {
        let ada =
            json!({ "id": "c", "name": null, "email": "ada@example.org", "phone": "+4930123456" });
        let lanes = |kind| -> Vec<String> {
            let requests = requests(&frame(kind, "placed", &ada)).into_iter();
            requests.map(|(lane, ..)| lane).collect()
        };
        assert_eq!(lanes("order.created"), ["email", "webhook-1"]);
        assert_eq!(lanes("order.updated"), ["webhook-1"]);
        let error = Events::of(&["order.paid".to_owned()]).expect_err("an unknown type");
        assert!(error.to_string().contains("order.status"), "{error}");
    }

    #[test]
    fn webhooks_get_the_frame_also_of_rejections() {
        let body = json!({
            "type": "order.rejected", "position": 7, "order_id": "o",
            "at": "2026-01-01T12:00:07.000Z", "reason": "no",
        });
        let sent = requests(&with_body("order.rejected", &body));
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1, "shop.example");
        assert_eq!(sent[0].2["type"], "order.rejected");
        assert_eq!(sent[0].2["timestamp"], "2026-01-01T12:00:07.000Z");
        assert_eq!(sent[0].2["data"], body);
    }

    #[test]
    fn a_frame_of_another_form_is_an_error() {
        assert!(
            rules()
                .announce(&with_body("order.created", &json!({})))
                .is_err()
        );
    }
}

//! Settings of orders: errors, and the list of all settings.
#![expect(clippy::result_large_err, reason = "figment's own type, in tests only")]

use std::path::Path;

use bakehouse_host::{Configuration, SecretUri, listed_and_known_settings};
use bakehouse_orders_app::OrdersSettings;
use figment::Jail;

fn error(variables: &[(&str, &str)], file: &str) -> String {
    let mut text = String::new();
    Jail::expect_with(|jail| {
        jail.create_file("a.toml", file)?;
        for (name, value) in variables {
            jail.set_env(name, value);
        }
        text = Configuration::<OrdersSettings>::load(Some(Path::new("a.toml")))
            .expect_err("an error")
            .to_string();
        Ok(())
    });
    text
}

#[test]
fn errors_name_the_setting() {
    for (message, name) in [
        (
            error(&[("BAKEHOUSE_SMS__EVENTS", "order.paid")], ""),
            "sms.events",
        ),
        (
            error(&[("BAKEHOUSE_EMAIL__URI", "smtp://mail")], ""),
            "email.from",
        ),
        (
            error(&[("BAKEHOUSE_WEBHOOK__URLS", "https://a,https://b")], ""),
            "webhook.secret",
        ),
        (
            error(&[], "[orders]\ncurrency = \"XXX\""),
            "orders.currency",
        ),
        (error(&[], "[orders]\ncurrancy = \"EUR\""), "`currency`"),
        (error(&[], "[webhok]\nurls = []"), "`webhook`"),
    ] {
        assert!(message.contains(name), "{name}: {message}");
    }
}

#[test]
fn errors_contain_no_secrets() {
    for file in [
        "[attachments]\ns3_endpoint = \"http://user:hunter2@host/\"\n",
        "[attachments]\nstore = \"s3://user:hunter2@bucket/\"\n",
    ] {
        let text = error(&[], file);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn a_former_name_works_and_is_warned_about() {
    Jail::expect_with(|jail| {
        jail.create_file("a.toml", "[attachments]\nlargest = 7\n")?;
        let loaded = Configuration::<OrdersSettings>::load(Some(Path::new("a.toml")));
        let (configuration, warnings) = loaded.expect("valid");
        assert_eq!(configuration.domain.attachments.max_bytes, 7);
        assert!(
            warnings[0].contains("attachments.max_bytes"),
            "{warnings:?}"
        );
        Ok(())
    });
}

#[test]
fn every_setting_is_listed_and_nothing_else() {
    let uri = || Some(SecretUri::from("amqp://host"));
    let mut domain = OrdersSettings::default();
    domain.attachments.store = Some("s3://bucket".into());
    domain.attachments.s3_endpoint = Some("http://s3".into());
    domain.attachments.s3_access_key_id = Some("key".into());
    domain.attachments.s3_secret_access_key = Some("secret".to_owned().into());
    domain.email.uri = uri();
    domain.email.from = Some("a@example.org".into());
    domain.sms.url = uri();
    domain.sms.token = Some("secret".to_owned().into());
    domain.webhook.secret = Some("secret".to_owned().into());
    let (listed, known) = listed_and_known_settings(domain).expect("TOML");
    assert_eq!(listed, known);
}

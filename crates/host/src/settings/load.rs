//! Loading of the settings.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use figment::providers::{Env, Format, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};

use super::domain::{Configuration, DomainSettings};
use super::error_text::error_text;
use super::exposure::AllowedOrigin;
use super::follow;
use super::host::{Mode, Settings};
use super::names::{RENAMED, variable};
use crate::logging;

/// Prefix, after `BAKEHOUSE_`, of environment variables that are not settings.
const TEST_PREFIX: &str = "TEST_";

/// Source of settings, reduced to the sections of a domain, or to all others.
struct Sections<P> {
    source: P,
    domain: &'static [&'static str],
    is_domain: bool,
}

impl<P: Provider> Provider for Sections<P> {
    fn metadata(&self) -> Metadata {
        self.source.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut data = self.source.data()?;
        for sections in data.values_mut() {
            sections.retain(|name, _| self.domain.contains(&name.as_str()) == self.is_domain);
        }
        Ok(data)
    }
}

impl<S: DomainSettings> Configuration<S> {
    /// Reads the file, if there is one, and the environment, which overrides it. Also returns a
    /// warning for each setting that is set by its former name.
    ///
    /// # Errors
    /// An error that names the setting and the expected value.
    pub fn load(file: Option<&Path>) -> Result<(Self, Vec<String>)> {
        if let Some(file) = file {
            ensure!(file.is_file(), "{}: no such file", file.display());
            check_syntax(file)?;
        }
        let figment = |is_domain| {
            let domain = S::SECTIONS;
            let mut figment = Figment::new();
            if let Some(file) = file {
                let source = Toml::file_exact(file);
                figment = figment.merge(Sections {
                    source,
                    domain,
                    is_domain,
                });
            }
            let source = Env::prefixed("BAKEHOUSE_")
                .filter(|key| key != "CONFIG" && !key.as_str().starts_with(TEST_PREFIX))
                .split("__");
            figment.merge(Sections {
                source,
                domain,
                is_domain,
            })
        };
        let (of_host, of_domain) = (figment(false), figment(true));
        let invalid = |error| anyhow!(error_text(error, S::SECTIONS));
        let configuration = Self {
            host: of_host.extract().map_err(invalid)?,
            domain: of_domain.extract().map_err(invalid)?,
        };
        configuration.host.check()?;
        configuration.domain.check()?;
        let is_set = |former: &&(&str, &str)| {
            of_host.find_value(former.0).is_ok() || of_domain.find_value(former.0).is_ok()
        };
        let renamed = RENAMED.iter().chain(S::RENAMED).filter(is_set);
        let warnings = renamed.map(|(former, current)| {
            format!(
                "{former} ({}): renamed to {current} ({}); the former name will be removed",
                variable(former),
                variable(current)
            )
        });
        let warnings = warnings.collect();
        Ok((configuration, warnings))
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let bind = self.http.bind;
        ensure!(
            bind.ip().is_loopback() || self.http.allow_open_bind || self.auth.is_on(),
            "http.bind: {bind} is reachable from other machines, and no token is required; require \
             tokens (auth.jwks), or set http.allow_open_bind (BAKEHOUSE_HTTP__ALLOW_OPEN_BIND) to \
             true if that is intended"
        );
        let allows_any_origin = self.http.cors_origins.iter().any(AllowedOrigin::is_any);
        ensure!(
            !allows_any_origin || self.http.allow_any_origin || self.auth.is_on(),
            "http.cors_origins: \"*\" lets pages of any site use the API without a token; list \
             the origins, such as https://shop.example, require tokens (auth.jwks), or set \
             http.allow_any_origin (BAKEHOUSE_HTTP__ALLOW_ANY_ORIGIN) to true if that is intended"
        );
        ensure!(
            self.mode == Mode::Asynchronous || !self.has_servers(),
            "mode: expected \"asynchronous\", since mongodb or amqp is set; the other modes need the \
             embedded store"
        );
        self.auth.check()?;
        self.amqp.check()?;
        follow::check(&self.follow)?;
        self.health.check()?;
        logging::check(&self.log)?;
        ensure!(
            self.http.rate_burst > 0,
            "http.rate_burst: expected a number above 0"
        );
        for (key, count) in [
            ("writer.max_batch", self.writer.max_batch),
            ("manager.max_batch", self.manager.max_batch),
            ("baker.max_batch", self.baker.max_batch),
            ("notify.max_batch", self.notify.max_batch),
            ("notify.concurrency", usize::from(self.notify.concurrency)),
            ("feed.buffer_frames", self.feed.buffer_frames),
            ("feed.max_subscribers", self.feed.max_subscribers),
            ("feed.max_unauthenticated", self.feed.max_unauthenticated),
            ("http.body_limit", self.http.body_limit),
            ("http.max_waits", self.http.max_waits),
            ("http.max_waits_per_client", self.http.max_waits_per_client),
            ("http.max_log_reads", self.http.max_log_reads),
            ("amqp.prefetch", usize::from(self.amqp.prefetch)),
        ] {
            ensure!(count > 0, "{key}: expected a number above 0");
        }
        for (key, time) in [
            ("manager.poll_interval", self.manager.poll_interval),
            ("manager.lease_ttl", self.manager.lease_ttl),
            ("baker.poll_interval", self.baker.poll_interval),
            ("baker.lease_ttl", self.baker.lease_ttl),
            ("notify.poll_interval", self.notify.poll_interval),
            ("notify.lease_ttl", self.notify.lease_ttl),
            ("notify.timeout", self.notify.timeout),
            ("notify.initial_backoff", self.notify.initial_backoff),
            ("notify.max_backoff", self.notify.max_backoff),
            ("notify.give_up_after", self.notify.give_up_after),
            ("feed.poll_interval", self.feed.poll_interval),
            ("feed.heartbeat", self.feed.heartbeat),
            ("http.header_timeout", self.http.header_timeout),
            ("http.body_timeout", self.http.body_timeout),
            ("auth.jwks_cache_ttl", self.auth.jwks_cache_ttl),
            ("amqp.confirm_timeout", self.amqp.confirm_timeout),
        ] {
            ensure!(
                !time.is_zero(),
                "{key}: expected a time above 0, such as 500ms"
            );
        }
        Ok(())
    }
}

/// Checks that a file is valid TOML.
///
/// # Errors
/// An error with line and column, but without the text there, which may hold a secret.
fn check_syntax(file: &Path) -> Result<()> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| name.to_string())?;
    let Err(error) = text.parse::<toml::Table>() else {
        return Ok(());
    };
    let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|letter| *letter != '\n')
        .count()
        + 1;
    bail!("{name}: line {line}, column {column}: not valid TOML");
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "figment's own type, in tests only")]
mod tests {
    use std::time::Duration;

    use figment::Jail;

    use super::*;
    use crate::settings::NoSettings;

    fn error(variables: &[(&str, &str)], file: &str) -> String {
        let mut text = String::new();
        Jail::expect_with(|jail| {
            jail.create_file("a.toml", file)?;
            for (name, value) in variables {
                jail.set_env(name, value);
            }
            text = Configuration::<NoSettings>::load(Some(Path::new("a.toml")))
                .expect_err("an error")
                .to_string();
            Ok(())
        });
        text
    }

    #[test]
    fn variables_override_the_file_and_the_file_overrides_the_defaults() {
        Jail::expect_with(|jail| {
            jail.create_file(
                "a.toml",
                "[manager]\npoll_interval = \"1s\"\nmax_batch = 7\n",
            )?;
            jail.set_env("BAKEHOUSE_MANAGER__MAX_BATCH", "9");
            jail.set_env("BAKEHOUSE_DATA_DIR", "/somewhere");
            jail.set_env("BAKEHOUSE_INSTANCE", "0");
            jail.set_env("BAKEHOUSE_TEST_WHATEVER", "1");
            let loaded = Configuration::<NoSettings>::load(Some(Path::new("a.toml")));
            let settings = loaded.expect("valid").0.host;
            assert_eq!(settings.manager.max_batch, 9);
            assert_eq!(settings.manager.poll_interval, Duration::from_secs(1));
            assert_eq!(settings.manager.lease_ttl, Duration::from_secs(1));
            assert_eq!(settings.data_dir, Path::new("/somewhere"));
            assert_eq!(settings.instance, "0");
            Ok(())
        });
    }

    #[test]
    fn errors_name_the_setting() {
        let cases = [
            (error(&[], "[htp]\nbind = \"x\""), "htp"),
            (error(&[], "[http]\nbnd = \"x\""), "bnd"),
            (
                error(&[("BAKEHOUSE_HTTP__BIND", "nowhere")], ""),
                "http.bind",
            ),
            (error(&[("BAKEHOUSE_HTP__BIND", "x")], ""), "htp"),
            (error(&[("BAKEHOUSE_DATADIR", "x")], ""), "datadir"),
            (
                error(&[], "[http]\nbind = \"0.0.0.0:80\""),
                "allow_open_bind",
            ),
            (
                error(&[("BAKEHOUSE_HTTP__CORS_ORIGINS", "shop.example")], ""),
                "http.cors_origins (BAKEHOUSE_HTTP__CORS_ORIGINS): \"shop.example\" has no scheme",
            ),
            (
                error(&[], "[http]\ncors_origins = [\"https://a.example/b\"]"),
                "http.cors_origins",
            ),
            (
                error(&[("BAKEHOUSE_HTTP__CORS_ORIGINS", "*")], ""),
                "http.allow_any_origin",
            ),
            (
                error(&[("BAKEHOUSE_HTTP__ALLOWED_HOSTS", "*")], ""),
                "http.allowed_hosts",
            ),
            (
                error(&[("BAKEHOUSE_HTTP__TRUSTED_PROXIES", "nginx")], ""),
                "http.trusted_proxies",
            ),
            (
                error(&[("BAKEHOUSE_HTTP__PUBLIC_URL", "shop.example")], ""),
                "http.public_url",
            ),
            (error(&[], "[writer]\nmax_batch = 0"), "writer.max_batch"),
            (
                error(&[("BAKEHOUSE_FOLLOW__USERS__TOKEN_FILE", "t")], ""),
                "follow.users",
            ),
            (
                error(&[("BAKEHOUSE_FOLLOW__USERS", "users")], ""),
                "follow.users",
            ),
            (
                error(&[("BAKEHOUSE_AUTH__JWKS", "http://issuer/keys")], ""),
                "auth.jwks",
            ),
            (
                error(
                    &[(
                        "BAKEHOUSE_AMQP__MANAGEMENT_URI",
                        "http://user:pw@broker:15672",
                    )],
                    "[amqp]\nuri = \"amqp://broker\"",
                ),
                "amqp.management_uri: expected https://",
            ),
            (
                error(
                    &[("BAKEHOUSE_AMQP__MANAGEMENT_URI", "https://broker:15671")],
                    "",
                ),
                "amqp.management_uri: set amqp.uri as well",
            ),
            (error(&[], "[feed]\nheartbeat = \"0s\""), "feed.heartbeat"),
        ];
        for (message, name) in cases {
            assert!(message.contains(name), "{name}: {message}");
        }
    }

    #[test]
    fn errors_name_the_expected_value() {
        let mode = "mode (BAKEHOUSE_MODE): found `fast`, expected one of \
                    `asynchronous`, `synchronous`, `memory`";
        assert_eq!(error(&[("BAKEHOUSE_MODE", "fast")], ""), mode);
        let batch = "manager.max_batch (BAKEHOUSE_MANAGER__MAX_BATCH): found `many`, \
                     expected a whole number from 0 on";
        let many = [("BAKEHOUSE_MANAGER__MAX_BATCH", "many")];
        assert_eq!(error(&many, ""), batch);
        let open = "http.allow_open_bind (BAKEHOUSE_HTTP__ALLOW_OPEN_BIND): found \
                    `maybe`, expected `true` or `false`";
        let maybe = [("BAKEHOUSE_HTTP__ALLOW_OPEN_BIND", "maybe")];
        assert_eq!(error(&maybe, ""), open);
        let unknown = error(&[("BAKEHOUSE_MANAGER__BATCH", "1")], "");
        let expected = "manager.batch (BAKEHOUSE_MANAGER__BATCH): no such setting; \
                    expected one of `poll_interval`, `max_batch`, `lease_ttl`";
        assert_eq!(unknown, expected);
    }

    #[test]
    fn every_former_name_is_an_alias() {
        let defaults = Configuration::<NoSettings>::default();
        let defaults = defaults.to_toml().expect("TOML");
        for (former, current) in RENAMED {
            let (section, former_name) = former.split_once('.').expect("a section");
            let (_, name) = current.split_once('.').expect("a section");
            let value = &defaults[section][name];
            let text = format!("[{section}]\n{former_name} = {value}\n");
            Jail::expect_with(|jail| {
                jail.create_file("a.toml", &text)?;
                let loaded = Configuration::<NoSettings>::load(Some(Path::new("a.toml")));
                let (_, warnings) = loaded.expect("valid");
                assert_eq!(warnings.len(), 1, "{former}: {warnings:?}");
                assert!(warnings[0].contains(current), "{warnings:?}");
                Ok(())
            });
        }
    }

    #[test]
    fn a_former_name_works_and_is_warned_about() {
        Jail::expect_with(|jail| {
            jail.create_file("a.toml", "[feed]\nplaces = 7\n")?;
            jail.set_env("BAKEHOUSE_NOTIFY__AT_ONCE", "3");
            let loaded = Configuration::<NoSettings>::load(Some(Path::new("a.toml")));
            let (configuration, warnings) = loaded.expect("valid");
            assert_eq!(configuration.host.feed.max_subscribers, 7);
            assert_eq!(configuration.host.notify.concurrency, 3);
            let expected = [
                "notify.at_once (BAKEHOUSE_NOTIFY__AT_ONCE): renamed to notify.concurrency \
                 (BAKEHOUSE_NOTIFY__CONCURRENCY); the former name will be removed",
                "feed.places (BAKEHOUSE_FEED__PLACES): renamed to feed.max_subscribers \
                 (BAKEHOUSE_FEED__MAX_SUBSCRIBERS); the former name will be removed",
            ];
            assert_eq!(warnings, expected);
            Ok(())
        });
        let both = error(&[], "[feed]\nplaces = 7\nmax_subscribers = 8\n");
        assert!(
            both.contains("set twice, by its current and by its former name"),
            "{both}"
        );
        let unknown = error(&[], "[feed]\nplace = 7\n");
        assert!(unknown.contains("`max_subscribers`"), "{unknown}");
        assert!(!unknown.contains("`places`"), "{unknown}");
    }

    #[test]
    fn errors_contain_no_secrets() {
        for (variables, file) in [
            (&[][..], "[amqp]\nuri = \"amqp://user:hunter2@host\n"),
            (&[], "[amqp]\nuri = amqp://user:hunter2@host\n"),
            (&[], "[auth]\njwks = \"ftp://user:hunter2@host/\"\n"),
            (&[], "[follow]\nusers = \"ftp://user:hunter2@host/\"\n"),
            (&[("BAKEHOUSE_AMQP", "amqp://user:hunter2@host")], ""),
            (&[("BAKEHOUSE_MODE", "amqp://user:hunter2@host")], ""),
            (
                &[("BAKEHOUSE_AMQP__PREFETCH", "amqp://user:hunter2@host")],
                "",
            ),
            (&[("BAKEHOUSE_AMQP__URL", "amqp://user:hunter2@host")], ""),
        ] {
            let text = error(variables, file);
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.is_empty());
        }
    }

    #[test]
    fn the_error_of_a_missing_uri_names_its_variable() {
        let message = Settings::default()
            .source_uri()
            .expect_err("not set")
            .to_string();
        assert!(
            message.contains("BAKEHOUSE_MONGODB__SOURCE_URI"),
            "{message}"
        );
    }
}

//! MongoDB, RabbitMQ and a mail server as a company runs them: over TLS, with passwords.
//! Processes of this machine only, never containers: they read certificates from its files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mongodb::Client;
use mongodb::bson::doc;

use crate::launch::{Launched, Recipe};
use crate::provision::{self, Source};
use crate::tls::Authority;
use crate::{Rabbit, ports, shared};

/// Password that has to be percent-encoded in a URI.
pub const PASSWORD: &str = "s3cret/:@ word";
/// Password as it stands in a URI.
pub const ENCODED_PASSWORD: &str = "s3cret%2F%3A%40%20word";
/// Name of the user in all three.
pub const USER: &str = "baker";

const START: Duration = Duration::from_secs(60);

/// A mongod that takes TLS connections of known users only.
pub struct SecuredMongo {
    port: u16,
    ca: String,
    _server: Launched,
}

impl SecuredMongo {
    /// Starts one, with its replica set initiated and the user made. `None` where there is
    /// no mongod but in a container.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(name: &str, authority: &Authority) -> Result<Option<Self>> {
        let Source::Local(program) = provision::mongod()? else {
            return Ok(None);
        };
        let (port, folder) = (ports::free()?, shared::folder(name)?);
        let key = key_file(&folder)?;
        let files = [&authority.combined, &authority.ca].map(|file| file.display().to_string());
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        let recipe = Recipe::Local(Box::new(move || {
            let mut command = Command::new(&program);
            command
                .args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--port"])
                .arg(port.to_string())
                .args(["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"])
                .args(["--tlsMode", "requireTLS", "--tlsCertificateKeyFile"])
                .arg(&files[0])
                .arg("--tlsCAFile")
                .arg(&files[1])
                .arg("--tlsAllowConnectionsWithoutCertificates")
                .arg("--keyFile")
                .arg(&key)
                .arg("--dbpath")
                .arg(&data);
            command
        }));
        let mut server = Launched::new(recipe, &folder)?;
        server.start()?;
        ports::wait(port, START, || server.is_alive())?;
        let mongo = Self {
            port,
            ca: authority.ca.display().to_string(),
            _server: server,
        };
        mongo.prepare().await?;
        Ok(Some(mongo))
    }

    /// Until there is a user, one may be made from this machine.
    async fn prepare(&self) -> Result<()> {
        let host = format!("127.0.0.1:{}", self.port);
        let tls = format!("tls=true&tlsCAFile={}", self.ca);
        let direct = format!("mongodb://{host}/?directConnection=true&{tls}");
        let admin = Client::with_uri_str(direct).await?.database("admin");
        let members = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": &host }] };
        let initiate = admin.run_command(doc! { "replSetInitiate": members });
        initiate.await.context("the replica set")?;
        let user = doc! { "createUser": USER, "pwd": PASSWORD, "roles": ["root"] };
        for _ in 0..200 {
            match admin.run_command(user.clone()).await {
                Ok(_) => return Ok(()),
                // There is no primary yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        bail!("no user can be made")
    }

    /// Connection string of a database, with this in place of the user's password.
    #[must_use]
    pub fn uri(&self, database: &str, password: &str) -> String {
        format!(
            "mongodb://{USER}:{password}@127.0.0.1:{}/{database}?replicaSet=rs0&authSource=admin\
             &tls=true&tlsCAFile={}",
            self.port, self.ca
        )
    }
}

/// Key file by which members of a replica set know each other.
fn key_file(folder: &Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("keyfile");
    fs::write(&file, "bWVtYmVycyBvZiBhIHRlc3Q=")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A RabbitMQ node with a TLS port and a user of its own.
pub struct SecuredRabbit {
    port: u16,
    /// The node.
    pub node: Rabbit,
}

impl SecuredRabbit {
    /// Starts one. `None` where there is no RabbitMQ but in a container.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(name: &str, authority: &Authority) -> Result<Option<Self>> {
        let Source::Local(_) = provision::rabbitmq()? else {
            return Ok(None);
        };
        let port = ports::free()?;
        let mut node = Rabbit::bare(name)?;
        let [ca, certificate, key] =
            [&authority.ca, &authority.certificate, &authority.key].map(|file| file.display());
        node.configure(&format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {ca}\n\
             ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             default_user = {USER}\ndefault_pass = {PASSWORD}\n"
        ))?;
        node.start_again()?;
        ports::wait(port, START, || node.is_alive())?;
        Ok(Some(Self { port, node }))
    }

    /// Connection string of the broker, with this in place of the user's password.
    #[must_use]
    pub fn uri(&self, password: &str) -> String {
        format!("amqps://{USER}:{password}@localhost:{}/%2f", self.port)
    }
}

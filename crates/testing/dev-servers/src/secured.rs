//! MongoDB and RabbitMQ with TLS and passwords. They run as local processes only, not in
//! containers, since they read certificates from local files.

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
use crate::{Rabbit, files, ports};

/// Password with characters that must be percent-encoded in a URI.
pub const PASSWORD: &str = "s3cret/:@ word";
/// Password in percent-encoded form.
pub const ENCODED_PASSWORD: &str = "s3cret%2F%3A%40%20word";
/// User name on all servers with passwords.
pub const USER: &str = "baker";

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// mongod that accepts only TLS connections with a password.
pub struct SecuredMongo {
    port: u16,
    ca: String,
    _server: Launched,
}

impl SecuredMongo {
    /// Starts a server, initiates its replica set and creates the user. `None` if mongod is
    /// available only in a container.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(name: &str, authority: &Authority) -> Result<Option<Self>> {
        let Source::Local(program) = provision::mongod()? else {
            return Ok(None);
        };
        let (port, folder) = (ports::free()?, files::folder(name)?);
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
        ports::wait(port, START_TIMEOUT, || server.is_alive())?;
        let mongo = Self {
            port,
            ca: authority.ca.display().to_string(),
            _server: server,
        };
        mongo.prepare().await?;
        Ok(Some(mongo))
    }

    /// Initiates the replica set and creates the first user, which is allowed from this machine
    /// without a password.
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
        bail!("the user cannot be created")
    }

    /// Returns the connection string of a database with the given password.
    #[must_use]
    pub fn uri(&self, database: &str, password: &str) -> String {
        format!(
            "mongodb://{USER}:{password}@127.0.0.1:{}/{database}?replicaSet=rs0&authSource=admin\
             &tls=true&tlsCAFile={}",
            self.port, self.ca
        )
    }
}

/// Writes the key file with which members of a replica set authenticate each other.
fn key_file(folder: &Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("keyfile");
    fs::write(&file, "bWVtYmVycyBvZiBhIHRlc3Q=")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// RabbitMQ node with a TLS port and a password.
pub struct SecuredRabbit {
    port: u16,
    /// Node.
    pub node: Rabbit,
}

impl SecuredRabbit {
    /// Starts a node. `None` if RabbitMQ is available only in a container.
    ///
    /// # Errors
    /// If it does not start.
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
        ports::wait(port, START_TIMEOUT, || node.is_alive())?;
        Ok(Some(Self { port, node }))
    }

    /// Returns the connection string of the broker with the given password.
    #[must_use]
    pub fn uri(&self, password: &str) -> String {
        format!("amqps://{USER}:{password}@localhost:{}/%2f", self.port)
    }
}

//! Settings of orders as `--help` lists them.

/// Key and meaning of each setting, in the order of the sections.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    (
        "attachments.store",
        "bucket that keeps files, s3://BUCKET/PREFIX; unset: folder attachments in data_dir",
    ),
    (
        "attachments.s3_endpoint",
        "URL of the S3 server; unset: Amazon's",
    ),
    ("attachments.s3_region", "region of the bucket"),
    ("attachments.s3_access_key_id", "id of the access key"),
    ("attachments.s3_secret_access_key", "secret access key"),
    ("attachments.max_bytes", "maximum size of a file, in bytes"),
    (
        "attachments.media_types",
        "media types that are accepted; */*: any",
    ),
    (
        "attachments.min_upload_rate",
        "lowest average rate of an upload once http.body_timeout has passed, in bytes per second",
    ),
    (
        "attachments.max_uploads",
        "maximum number of uploads at the same time",
    ),
    (
        "attachments.max_uploads_per_client",
        "maximum number of uploads of one principal, or address, at the same time",
    ),
    (
        "attachments.max_bytes_per_order",
        "maximum size of all files of an order, in bytes",
    ),
    (
        "attachments.max_bytes_per_client",
        "maximum size of all files of an owner's orders, or of an address where orders have no \
         owner, in bytes",
    ),
    (
        "attachments.max_total_bytes",
        "maximum size of all files, in bytes",
    ),
    (
        "attachments.sweep_interval",
        "interval at which files that no order refers to are removed",
    ),
    (
        "attachments.sweep_grace",
        "age at which a file that no order refers to is removed, by the times in the log",
    ),
    (
        "email.uri",
        "mail server, smtp://USER:PASSWORD@HOST:PORT (?tls=required) or smtps://; unset: no e-mail",
    ),
    ("email.from", "sender, NAME <ADDRESS>"),
    (
        "email.events",
        "events that customers get an e-mail about; *: all",
    ),
    ("sms.url", "gateway for text messages; unset: none are sent"),
    ("sms.token", "bearer token for the gateway"),
    (
        "sms.body",
        "JSON that is posted to the gateway; {to}, {text} and {id} stand for recipient, message and \
         notification id",
    ),
    (
        "sms.events",
        "events that customers get a text message about; *: all",
    ),
    ("webhook.urls", "endpoints that get events; empty: none"),
    (
        "webhook.secret",
        "key that requests are signed with: whsec_ and 24 to 64 bytes in base64",
    ),
    ("webhook.events", "events that endpoints get; *: all"),
    (
        "webhook.allow_private",
        "true if endpoints may be on this machine or in a private network",
    ),
    ("orders.currency", "currency of orders that name none"),
];

//! Blog as three services: users, posts and comments. Each service has its own stores. The services
//! communicate only by events: each follows the feeds of the others and maintains its own read
//! model.
//!
//! ```text
//! users ──► posts (author names)      comments ──► posts (number of comments)
//! users ──► comments (author names)   posts ─────► comments (deletion with the post)
//! ```
//!
//! Settings of each service: its own address, and the feeds of the others:
//!
//! ```text
//! BAKEHOUSE_HTTP__BIND=127.0.0.1:8081 users
//! BAKEHOUSE_HTTP__BIND=127.0.0.1:8082 BAKEHOUSE_FOLLOW__USER=http://127.0.0.1:8081/users-events \
//!     BAKEHOUSE_FOLLOW__COMMENT=http://127.0.0.1:8083/comments-events posts
//! BAKEHOUSE_HTTP__BIND=127.0.0.1:8083 BAKEHOUSE_FOLLOW__USER=http://127.0.0.1:8081/users-events \
//!     BAKEHOUSE_FOLLOW__POST=http://127.0.0.1:8082/posts-events comments
//! ```

mod authors;
mod content;
mod lifecycle;

pub mod comments;
pub mod posts;
pub mod users;

//! A blog as three services: users, posts and comments. Each has a write and a read
//! store of its own, and they talk by nothing but events: each follows the feeds of
//! the others, and makes of them what its own readers get.
//!
//! ```text
//! users ──► posts (author names)      comments ──► posts (how many)
//! users ──► comments (author names)   posts ─────► comments (what is deleted with them)
//! ```
//!
//! Each is told where the others' feeds are, and where to listen itself:
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
mod life;

pub mod comments;
pub mod posts;
pub mod users;

//! Interception of the calls of a port.
//!
//! `intercept!` takes the list of a port's calls and writes two things: a trait of hooks, one
//! for each call, that forward it by default; and the port itself for [`Intercepted`], which sends
//! each call through its hook. A decorator implements [`Interceptor`] and the trait of hooks, and
//! overrides what it changes. A call that is added to a port is added to its list and nowhere else.
//!
//! Each hook runs its call by one of the two methods of [`Interceptor`]: `around` for calls that
//! can fail, `pass` for all others.

use std::sync::Arc;

use bakehouse_engine::ports::StoreError;

/// Port whose calls go through an interceptor.
pub struct Intercepted<P: ?Sized, I> {
    pub(crate) inner: Arc<P>,
    pub(crate) interceptor: I,
}

impl<P: ?Sized, I> Intercepted<P, I> {
    /// Puts the interceptor around the port.
    pub fn with(inner: Arc<P>, interceptor: I) -> Arc<Self> {
        Arc::new(Self { inner, interceptor })
    }

    /// Returns the interceptor.
    pub fn interceptor(&self) -> &I {
        &self.interceptor
    }
}

/// Hooks that run the calls of every port. By default they change nothing.
pub trait Interceptor: Send + Sync + 'static {
    /// Runs a call that can fail.
    ///
    /// # Errors
    /// Errors of the call, and those of the interceptor.
    fn around<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        call
    }

    /// Runs a call that has no error.
    fn pass<T: Send>(
        &self,
        call: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        call
    }
}

/// Writes the hooks of a port, and the port for [`Intercepted`]: see the head of this module.
///
/// `PORT => TYPE` names the trait and the type behind the [`Arc`]. Calls without `async` stand in
/// `sync { … }`; they are forwarded without a hook.
macro_rules! intercept {
    (
        $port:path => $inner:ty;
        $(#[$doc:meta])*
        trait $hooks:ident $(<$s:ident>)? : $super:path {
            $($how:ident $call:ident($($argument:ident: $type:ty),*) -> $output:ty;)*
        }
        $(sync { $($sync_call:ident() -> $sync_output:ty;)* })?
    ) => {
        $(#[$doc])*
        #[async_trait]
        pub trait $hooks $(<$s: ?Sized + Send + Sync + 'static>)?: $super {
            $(
                #[doc = concat!("Hook of the call `", stringify!($call), "`.")]
                async fn $call(&self, inner: &Arc<$inner>, $($argument: $type),*) -> $output {
                    self.$how(inner.$call($($argument),*)).await
                }
            )*
        }

        #[async_trait]
        impl<$($s: ?Sized + Send + Sync + 'static,)? I: $hooks $(<$s>)?> $port
            for Intercepted<$inner, I>
        {
            $(
                async fn $call(&self, $($argument: $type),*) -> $output {
                    self.interceptor.$call(&self.inner, $($argument),*).await
                }
            )*
            $($(
                fn $sync_call(&self) -> $sync_output {
                    self.inner.$sync_call()
                }
            )*)?
        }
    };
}

pub(crate) use intercept;

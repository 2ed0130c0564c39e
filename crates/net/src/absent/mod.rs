//! What stands in the place of a transport that this build lacks: the same names, of which there is never a
//! value, so that whoever matches on a pipe or a carrier reads the same in every build.

use std::io;

/// Defines a type that has no value as a byte pipe.
macro_rules! never_a_pipe {
    ($(#[$meta:meta])* $name:ident $(<$below:ident>)?) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name $(<$below>)? (
            std::convert::Infallible,
            std::marker::PhantomData<fn() -> ($($below,)?)>,
        );

        impl $(<$below>)? tokio::io::AsyncRead for $name $(<$below>)? {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.0 {}
            }
        }

        impl $(<$below>)? tokio::io::AsyncWrite for $name $(<$below>)? {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                match self.0 {}
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.0 {}
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.0 {}
            }
        }
    };
}

/// The programs refuse settings that need a feature; this is for who uses the library.
pub(crate) fn lacking(feature: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("built without the feature {feature:?}"),
    )
}

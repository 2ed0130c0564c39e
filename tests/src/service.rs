//! Local services that frpc forwards to, and fake servers that it logs in to.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A listener, mostly on 127.0.0.1, that serves each connection in a task; all end on drop.
#[derive(Debug)]
pub struct Service {
    /// Its port.
    pub port: u16,
    task: JoinHandle<()>,
}

impl Service {
    /// Serves each connection with `serve`.
    pub async fn new<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::with_peer(move |stream, _| serve(stream)).await
    }

    /// As [`Service::new`], telling also who connected.
    pub async fn with_peer<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::on(listener, serve)
    }

    /// As [`Service::with_peer`], on a listener of the caller's.
    pub fn on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, peer));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, task }
    }

    /// Sends back what it gets, and ends when the other side has ended.
    pub async fn echo() -> Self {
        Self::new(|mut stream| async move {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        })
        .await
    }

    /// Speaks first: sends `greeting`, then behaves as [`Service::echo`].
    pub async fn greeting(greeting: impl Into<Vec<u8>>) -> Self {
        let greeting = greeting.into();
        Self::new(move |mut stream| {
            let greeting = greeting.clone();
            async move {
                let (mut reader, mut writer) = stream.split();
                if writer.write_all(&greeting).await.is_ok() {
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                }
            }
        })
        .await
    }

    /// Sends `content` and closes.
    pub async fn source(content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        Self::new(move |mut stream| {
            let content = content.clone();
            async move {
                let _ = stream.write_all(&content).await;
                let _ = stream.shutdown().await;
                // Unread input at close would make the kernel send a reset instead.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await
    }

    /// Reads all of each connection and hands it over.
    pub async fn sink(received: tokio::sync::mpsc::UnboundedSender<Vec<u8>>) -> Self {
        Self::new(move |mut stream| {
            let received = received.clone();
            async move {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                let _ = received.send(all);
            }
        })
        .await
    }

    /// Answers only after the other side has ended: with what it got, reversed.
    pub async fn answer_after_end() -> Self {
        Self::new(|mut stream| async move {
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).await.is_ok() {
                all.reverse();
                let _ = stream.write_all(&all).await;
            }
        })
        .await
    }

    /// A listener whose connections nobody answers: they stay open and silent.
    pub async fn silent() -> Self {
        Self::new(|stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
        .await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

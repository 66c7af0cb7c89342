//! The proxy, before a server that gives back what it is given.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use sealpost_testkit::Proxy;

use crate::support::PATIENCE;

/// A proxy, and what reached the server behind it.
fn echo() -> (Proxy, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::bind().unwrap();
    proxy.forward_to(listener.local_addr().unwrap());
    let (heard, reached) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, heard) = (stream.unwrap(), heard.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    // the test may be over
                    let _ = heard.send(buffer[..length].to_vec());
                    let _ = stream.write_all(&buffer[..length]);
                }
            });
        }
    });
    (proxy, reached)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, question: &[u8]) -> Vec<u8> {
    stream.write_all(question).unwrap();
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// What comes until the connection is closed; a reset is an end as well.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    rest
}

#[test]
fn an_open_proxy_passes_both_ways() {
    let (proxy, _reached) = echo();
    assert_eq!(ask(&mut connect(&proxy), b"hello"), b"hello");
}

#[test]
fn what_a_stall_holds_back_arrives_when_it_is_healed() {
    let (proxy, _reached) = echo();
    let mut stream = connect(&proxy);
    ask(&mut stream, b"first");
    proxy.stall();
    stream.write_all(b"second").unwrap();
    proxy.heal();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"second");
}

#[test]
fn what_a_stall_holds_back_is_lost_with_a_cut() {
    let (proxy, reached) = echo();
    let mut stream = connect(&proxy);
    ask(&mut stream, b"first");
    proxy.stall();
    stream.write_all(b"second").unwrap();
    proxy.cut();
    assert_eq!(rest(&mut stream), b"");

    // later than any of it could have arrived
    proxy.heal();
    ask(&mut connect(&proxy), b"third");
    let reached: Vec<Vec<u8>> = reached.try_iter().collect();
    assert_eq!(reached, [b"first".to_vec(), b"third".to_vec()]);
}

#[test]
fn with_replies_held_back_the_server_hears_and_the_client_does_not() {
    let (proxy, reached) = echo();
    let mut stream = connect(&proxy);
    ask(&mut stream, b"first");
    assert_eq!(reached.recv().unwrap(), b"first");
    proxy.stall_replies();
    stream.write_all(b"second").unwrap();
    assert_eq!(reached.recv_timeout(PATIENCE).unwrap(), b"second");
    proxy.cut();
    assert_eq!(rest(&mut stream), b"");
}

#[test]
fn a_cut_proxy_closes_what_connects_until_it_is_healed() {
    let (proxy, reached) = echo();
    proxy.cut();
    assert_eq!(rest(&mut connect(&proxy)), b"");
    assert!(reached.try_recv().is_err());
    proxy.heal();
    assert_eq!(ask(&mut connect(&proxy), b"again"), b"again");
}

#[test]
fn a_proxy_that_is_dropped_takes_its_connections_along() {
    let (proxy, _reached) = echo();
    let mut stream = connect(&proxy);
    ask(&mut stream, b"first");
    let address = proxy.address();
    drop(proxy);
    assert_eq!(rest(&mut stream), b"");
    assert!(TcpStream::connect(address).is_err());
}

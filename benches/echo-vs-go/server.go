// The servers of the post that this crate began with, the TCP one extended to many lines a connection. With a second
// argument "quiet" they do not print what they receive.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

var quiet = len(os.Args) == 3 && os.Args[2] == "quiet"

func handleConnection(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		message, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if !quiet {
			fmt.Printf("Received: %s", message)
		}
		if _, err := conn.Write([]byte("Echo: " + message)); err != nil {
			return
		}
	}
}

func serveTCP() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Println("Error accepting connection:", err)
			continue
		}
		go handleConnection(conn)
	}
}

func serveUDP() {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP("127.0.0.1")})
	if err != nil {
		panic(err)
	}
	fmt.Println("listening on", conn.LocalAddr())
	buffer := make([]byte, 1024)
	for {
		n, clientAddr, err := conn.ReadFromUDP(buffer)
		if err != nil {
			fmt.Println("Error reading from UDP:", err)
			continue
		}
		if !quiet {
			fmt.Printf("Received from %v: %s", clientAddr, string(buffer[:n]))
		}
		conn.WriteToUDP([]byte("Echo: "+string(buffer[:n])), clientAddr)
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "udp" {
		serveUDP()
	} else {
		serveTCP()
	}
}

// What frpc says in English, in Chinese: why there is no connection and what to do, why a proxy does not run, and
// what `verify` finds in a configuration. A `{}` stands for what differs, `{1}` for the first of these. What is not
// frpc's own text (the system's words, names, values) stays as it is; a test compares the table with the sources.

import { setText, shown } from "./common/dom.js";
import { currentLanguage } from "./common/i18n.js";
import { problems } from "./problems.js";

/** English, Chinese. */
export const messages = [
  // Why there is no connection.
  ["nothing answers", "没有响应"],
  ["check serverAddr and serverPort, and that frps runs", "请检查 serverAddr 和 serverPort，并确认 frps 正在运行"],
  ["as to {}, {}", "关于 {1}：{2}"],
  ["{}, while TLS to the same port is answered", "{1}，但同一端口的 TLS 有响应"],
  ["{}, and TLS to the same port is not answered either", "{1}，同一端口的 TLS 也没有响应"],
  ["the name {} could not be resolved", "无法解析域名 {1}"],
  ["check serverAddr and the DNS of this machine", "请检查 serverAddr 和本机的 DNS"],
  ["check serverAddr, and that dnsServer is a DNS server and answers", "请检查 serverAddr，并确认 dnsServer 是可用的 DNS 服务器"],
  ["the name {} was not resolved in time", "解析域名 {1} 超时"],
  ["check the network and the DNS of this machine", "请检查本机的网络和 DNS"],
  ["check that dnsServer is a DNS server and answers", "请确认 dnsServer 是可用的 DNS 服务器"],
  ["the host answers, but nothing listens on port {}", "主机可达，但没有程序监听端口 {1}"],
  ["start frps, or set serverPort to its bindPort", "请启动 frps，或将 serverPort 设为 frps 的 bindPort"],
  ["there is no route to the server", "没有到服务端的路由"],
  ["check the network of this machine and serverAddr", "请检查本机网络和 serverAddr"],
  ["the local address cannot be used", "无法使用该本地地址"],
  ["set transport.connectServerLocalIP to an address of this machine", "请将 transport.connectServerLocalIP 设为本机的地址"],
  ["the connection was reset while it was being opened", "建立连接时被重置"],
  ["a firewall on the path may block this port; try another bindPort", "途中的防火墙可能封锁了该端口，请换一个 bindPort"],
  ["no connection to {}", "无法连接到 {1}"],
  ["check the network", "请检查网络"],
  ["nothing at {} answers", "{1} 没有响应"],
  ["check serverAddr and serverPort, that the host is up, and that its firewall or security group lets this TCP port in", "请检查 serverAddr 和 serverPort，确认主机在线，且其防火墙或安全组放行了该 TCP 端口"],
  ["the host answers, but nothing listens on its UDP port {}", "主机可达，但没有程序监听 UDP 端口 {1}"],
  ["transport.protocol = \"kcp\" needs kcpBindPort in frps, and serverPort set to it", "transport.protocol = \"kcp\" 要求 frps 设置 kcpBindPort，并将 serverPort 设为该端口"],
  ["nothing at {} answers over UDP", "{1} 没有 UDP 响应"],
  ["check that {} is the kcpBindPort of frps, and that firewalls and security groups let this UDP port in; where the network lets no UDP through, set transport.protocol = \"tcp\" and serverPort to bindPort", "请确认 {1} 是 frps 的 kcpBindPort，且防火墙和安全组放行了该 UDP 端口；若网络不允许 UDP，请设置 transport.protocol = \"tcp\"，并将 serverPort 设为 bindPort"],
  ["frps wants tokens of an issuer: auth.method must be the same in frpc and frps", "frps 要求签发方的令牌：frpc 与 frps 的 auth.method 必须相同"],
  ["frps wants the token that both know: auth.method must be the same in frpc and frps", "frps 要求双方共享的 token：frpc 与 frps 的 auth.method 必须相同"],
  ["set auth.token (token in an INI file) to the same value in frpc and frps", "请将 frpc 与 frps 的 auth.token（INI 文件中为 token）设为相同的值"],
  ["give this frpc another clientID, or stop the other one", "请为此 frpc 换一个 clientID，或停止另一个 frpc"],
  ["wait as long as it says, and see that every frpc at this address has the right auth.token", "请按提示的时间等待，并确认该地址的每个 frpc 的 auth.token 都正确"],
  ["the log of frps may say more", "frps 的日志中可能有更多信息"],
  ["the server refused the login", "服务端拒绝了登录"],
  ["set auth.oidc.audience of frpc and frps to the same value", "请将 frpc 与 frps 的 auth.oidc.audience 设为相同的值"],
  ["auth.oidc.issuer of frps must be the issuer that auth.oidc.tokenEndpointURL belongs to", "frps 的 auth.oidc.issuer 必须是 auth.oidc.tokenEndpointURL 所属的签发方"],
  ["check the clocks of this machine, the issuer and frps; a token from auth.oidc.tokenSource must be renewed in time", "请检查本机、签发方和 frps 的时钟；来自 auth.oidc.tokenSource 的令牌必须及时更新"],
  ["frps must reach the URL in its auth.oidc.issuer; it tries again by itself", "frps 必须能访问其 auth.oidc.issuer 中的 URL，它会自动重试"],
  ["auth.oidc.issuer of frps must be the issuer that the token comes from, and the token one that is signed (a JWT)", "frps 的 auth.oidc.issuer 必须是签发该令牌的一方，且令牌必须是经过签名的 JWT"],
  ["the login does not fit into a message", "登录信息过长"],
  ["shorten user, clientID or metadatas", "请缩短 user、clientID 或 metadatas"],
  ["the two ends do not agree on wire protocol v2", "双方未能协商 v2 协议"],
  ["set transport.wireProtocol = \"v1\" in frpc, or update the older end", "请在 frpc 中设置 transport.wireProtocol = \"v1\"，或升级较旧的一端"],
  ["the peer speaks frp, but not as a server", "对端使用 frp 协议，但不是服务端"],
  ["check that {} is the bindPort of frps", "请确认 {1} 是 frps 的 bindPort"],
  ["transport.protocol is \"{}\"", "transport.protocol 为 \"{1}\""],

  // The connection broke.
  ["the connection was closed right after our plaintext login", "明文登录后连接立即被关闭"],
  ["a device on the path may reject plain frp, or frps takes only TLS: set transport.tls.enable = true (tls_enable = true in an INI file). If it is on in frps and fails too: check that transport.tcpMux is the same on both ends and that the port is the bindPort of frps", "途中的设备可能拒绝明文 frp，或 frps 只接受 TLS：请设置 transport.tls.enable = true（INI 文件中为 tls_enable = true）。若仍然失败，请确认双方的 transport.tcpMux 相同，且该端口是 frps 的 bindPort"],
  ["the log of frps may say why", "frps 的日志中可能有原因"],
  ["frps may be older than 0.69: set transport.wireProtocol = \"v1\"; its log may say more", "frps 可能早于 0.69：请设置 transport.wireProtocol = \"v1\"；其日志中可能有更多信息"],
  ["QUIC works, but frps closed our login", "QUIC 正常，但 frps 关闭了我们的登录"],
  [", or frps is older than 0.69 (set transport.wireProtocol = \"v1\")", "，或 frps 早于 0.69（请设置 transport.wireProtocol = \"v1\"）"],
  ["TLS works, but the connection was closed right after our login", "TLS 正常，但登录后连接立即被关闭"],
  ["most likely transport.tcpMux differs: it is {} here and must be the same in frps; or the port belongs to another TLS service{}", "很可能是 transport.tcpMux 不一致：此处为 {1}，frps 中必须相同；或者该端口属于其他 TLS 服务{2}"],
  ["check that the port is the kcpBindPort of frps and that transport.tcpMux is the same on both ends", "请确认该端口是 frps 的 kcpBindPort，且双方的 transport.tcpMux 相同"],
  ["check that the port is the quicBindPort of frps; its log may say why", "请确认该端口是 frps 的 quicBindPort；其日志中可能有原因"],
  ["check that the port is the bindPort of frps and not that of another TLS service, and that transport.tcpMux is the same on both ends; a device on the path may end TLS itself and swallow the login", "请确认该端口是 frps 的 bindPort 而不是其他 TLS 服务的端口，且双方的 transport.tcpMux 相同；途中的设备也可能自行终结 TLS 并吞掉了登录"],
  ["check that the port is the bindPort of frps and that transport.tcpMux is the same on both ends; a device on the path may swallow the login, which transport.tls.enable = true hides from it", "请确认该端口是 frps 的 bindPort，且双方的 transport.tcpMux 相同；途中的设备可能吞掉了登录，设置 transport.tls.enable = true 可避免被其识别"],
  ["{} took our login{} and did not answer", "{1} 接受了我们的登录{2}，但没有应答"],

  // The issuer of tokens.
  ["auth.oidc.tokenSource gives no token", "auth.oidc.tokenSource 没有给出令牌"],
  ["check that its file or program is there and gives one, as the user that frpc runs as", "请确认其文件或程序存在，并能以运行 frpc 的用户给出令牌"],
  ["the certificate of the token endpoint has expired, or is not valid yet", "令牌端点的证书已过期或尚未生效"],
  ["check the clock of this machine; if it is right, renew that certificate", "请检查本机时钟；若时钟正确，请更新该证书"],
  ["the certificate of the token endpoint is not trusted", "令牌端点的证书不受信任"],
  ["set auth.oidc.trustedCaFile to the CA that signed it, and check the host name in auth.oidc.tokenEndpointURL", "请将 auth.oidc.trustedCaFile 设为签发它的 CA，并检查 auth.oidc.tokenEndpointURL 中的主机名"],
  ["the token endpoint does not speak TLS with us", "无法与令牌端点建立 TLS"],
  ["if it speaks plain HTTP, begin auth.oidc.tokenEndpointURL with http://; else check the port in it", "若它使用明文 HTTP，auth.oidc.tokenEndpointURL 请以 http:// 开头；否则请检查其中的端口"],
  ["the proxy on the way to the token endpoint cannot be reached", "无法连接通往令牌端点的代理服务器"],
  ["the proxy on the way to the token endpoint does not let us through", "通往令牌端点的代理服务器拒绝放行"],
  ["check auth.oidc.proxyURL (without it HTTP_PROXY and HTTPS_PROXY)", "请检查 auth.oidc.proxyURL（未设置时检查 HTTP_PROXY 和 HTTPS_PROXY）"],
  ["this machine has no list of trusted CAs", "本机没有受信任的 CA 列表"],
  ["install its package ca-certificates, or set auth.oidc.trustedCaFile", "请安装 ca-certificates 软件包，或设置 auth.oidc.trustedCaFile"],
  ["the token endpoint does not answer", "令牌端点没有响应"],
  ["check auth.oidc.tokenEndpointURL, and whether a proxy is needed (auth.oidc.proxyURL)", "请检查 auth.oidc.tokenEndpointURL，以及是否需要代理服务器（auth.oidc.proxyURL）"],
  ["the issuer does not accept this client", "签发方不接受此客户端"],
  ["check auth.oidc.clientID and auth.oidc.clientSecret, and that the client may use the grant client_credentials", "请检查 auth.oidc.clientID 和 auth.oidc.clientSecret，并确认该客户端可以使用 client_credentials 授权方式"],
  ["the issuer does not know the scope", "签发方不认识该 scope"],
  ["check auth.oidc.scope", "请检查 auth.oidc.scope"],
  ["the issuer does not know the audience", "签发方不认识该 audience"],
  ["check auth.oidc.audience", "请检查 auth.oidc.audience"],
  ["the issuer does not offer the grant client_credentials", "签发方不提供 client_credentials 授权方式"],
  ["allow it for this client at the issuer", "请在签发方为此客户端启用该授权方式"],
  ["the issuer refused to give a token", "签发方拒绝签发令牌"],
  ["check auth.oidc.audience, auth.oidc.scope and auth.oidc.additionalEndpointParams", "请检查 auth.oidc.audience、auth.oidc.scope 和 auth.oidc.additionalEndpointParams"],
  ["what answers is no token endpoint, or it failed", "应答方不是令牌端点，或令牌端点出错"],
  ["check auth.oidc.tokenEndpointURL (the issuer tells it as token_endpoint in /.well-known/openid-configuration)", "请检查 auth.oidc.tokenEndpointURL（签发方在 /.well-known/openid-configuration 的 token_endpoint 中给出）"],

  // A proxy on the way to frps.
  ["the environment variable http_proxy", "环境变量 http_proxy"],
  ["proxy {}: {}", "代理 {1}：{2}"],
  ["this machine trusts no certificate, so the proxy cannot be verified", "本机不信任任何证书，无法验证代理服务器"],
  ["install ca-certificates, or set SSL_CERT_FILE", "请安装 ca-certificates，或设置 SSL_CERT_FILE"],
  ["the certificate of the proxy is not trusted", "代理服务器的证书不受信任"],
  ["check the host in {}; a CA of your own can be named by SSL_CERT_FILE", "请检查 {1} 中的主机；自己的 CA 可用 SSL_CERT_FILE 指定"],
  ["the proxy does not speak TLS with us", "无法与代理服务器建立 TLS"],
  ["if it speaks plain HTTP, begin {} with http://", "若它使用明文 HTTP，{1} 请以 http:// 开头"],
  ["the proxy closed the connection when it was asked for {}", "请求连接 {1} 时，代理服务器关闭了连接"],
  ["check the scheme and the port in {}, and what the proxy allows", "请检查 {1} 中的协议和端口，以及代理服务器允许的目标"],
  ["the proxy was asked for {} and does not answer", "向代理服务器请求连接 {1}，没有应答"],
  ["check serverAddr and serverPort, which the proxy may be trying in vain, and the scheme and the port in {}", "请检查 serverAddr 和 serverPort（代理服务器可能连不上），以及 {1} 中的协议和端口"],
  ["something else than an HTTP proxy answers there", "应答方不是 HTTP 代理服务器"],
  ["check the scheme and the port in {}", "请检查 {1} 中的协议和端口"],
  ["no proxy answers CONNECT with so much", "代理服务器对 CONNECT 的应答过长"],
  ["check the host and the port in {}", "请检查 {1} 中的主机和端口"],
  ["the proxy and we do not understand each other's NTLM", "与代理服务器的 NTLM 认证不兼容"],
  ["if it takes Basic credentials, begin {} with http://", "若它接受 Basic 认证，{1} 请以 http:// 开头"],
  ["the name of the proxy could not be resolved", "无法解析代理服务器的域名"],
  ["check {}, and the DNS of this machine or dnsServer", "请检查 {1}，以及本机的 DNS 或 dnsServer"],
  ["nothing listens on the port of the proxy", "没有程序监听代理服务器的端口"],
  ["check the port in {}, and that the proxy runs", "请检查 {1} 中的端口，并确认代理服务器正在运行"],
  ["the proxy cannot be reached", "无法连接代理服务器"],
  ["check {} and the network of this machine", "请检查 {1} 和本机网络"],
  ["the proxy wants a user and a password", "代理服务器要求用户名和密码"],
  ["put them into {}: scheme://user:password@host:port", "请写入 {1}：scheme://user:password@host:port"],
  ["the proxy does not accept user and password", "代理服务器不接受该用户名和密码"],
  ["check them in {} (a domain is written DOMAIN%5Cuser); if the proxy takes Basic credentials, begin it with http://", "请检查 {1} 中的用户名和密码（域写作 DOMAIN%5Cuser）；若代理服务器接受 Basic 认证，请以 http:// 开头"],
  ["check the user and password in {}; if the proxy takes NTLM only, begin it with ntlm://", "请检查 {1} 中的用户名和密码；若代理服务器只接受 NTLM，请以 ntlm:// 开头"],
  ["the proxy does not let anybody through to {}", "代理服务器不允许连接 {1}"],
  ["many proxies allow port 443 only: set bindPort of frps to 443 and serverPort to it, or ask who runs the proxy", "许多代理服务器只允许 443 端口：请将 frps 的 bindPort 和 serverPort 设为 443，或联系代理服务器的管理员"],
  ["the proxy cannot reach {}", "代理服务器无法连接 {1}"],
  ["check serverAddr and serverPort, and that frps runs; the proxy resolves the name", "请检查 serverAddr 和 serverPort，并确认 frps 正在运行；域名由代理服务器解析"],
  ["the proxy gives no connection to {}", "代理服务器没有建立到 {1} 的连接"],
  ["check that {} is a proxy that allows CONNECT", "请确认 {1} 是允许 CONNECT 的代理服务器"],
  ["something else than a SOCKS5 proxy answers there", "应答方不是 SOCKS5 代理服务器"],
  ["put them into {}: socks5://user:password@host:port", "请写入 {1}：socks5://user:password@host:port"],
  ["check the user and password in {}", "请检查 {1} 中的用户名和密码"],
  ["the proxy and we have no way to log in in common", "与代理服务器没有共同的认证方式"],
  ["try {} without user and password", "请尝试在 {1} 中去掉用户名和密码"],
  ["ask who runs the proxy", "请联系代理服务器的管理员"],
  ["ask who runs the proxy, or try another bindPort", "请联系代理服务器的管理员，或换一个 bindPort"],

  // QUIC.
  ["transport.protocol = \"quic\" needs quicBindPort in frps, and serverPort set to it", "transport.protocol = \"quic\" 要求 frps 设置 quicBindPort，并将 serverPort 设为该端口"],
  ["no datagram can be sent to the server", "无法向服务端发送数据报"],
  ["check the network of this machine, serverAddr and transport.connectServerLocalIP", "请检查本机网络、serverAddr 和 transport.connectServerLocalIP"],
  ["the TLS settings do not do for QUIC", "TLS 设置不适用于 QUIC"],
  ["set transport.protocol = \"tcp\"", "请设置 transport.protocol = \"tcp\""],
  ["this build has no QUIC", "此构建不含 QUIC"],
  ["take one with the feature, or set transport.protocol = \"tcp\"", "请使用包含该特性的构建，或设置 transport.protocol = \"tcp\""],
  ["no answer by UDP from {}", "{1} 没有 UDP 响应"],
  ["check that serverPort is the quicBindPort of frps, and that the firewall or security group of the server lets this UDP port in; many networks let no UDP out, where transport.protocol tcp or wss may pass", "请确认 serverPort 是 frps 的 quicBindPort，且服务端的防火墙或安全组放行了该 UDP 端口；许多网络不放行 UDP，此时可用 tcp 或 wss 作为 transport.protocol"],
  ["{} speaks no version of QUIC that we speak", "{1} 不支持我们支持的 QUIC 版本"],
  ["check that the port is the quicBindPort of frps", "请确认该端口是 frps 的 quicBindPort"],
  ["{} speaks QUIC, but not for frp", "{1} 使用 QUIC，但不是 frp"],
  ["the port belongs to another service, such as HTTP/3: set serverPort to the quicBindPort of frps", "该端口属于其他服务（如 HTTP/3）：请将 serverPort 设为 frps 的 quicBindPort"],
  ["the server does not accept our certificate", "服务端不接受我们的证书"],
  ["frps has transport.tls.trustedCaFile set: give frpc transport.tls.certFile and keyFile signed by that CA, with transport.tls.enable on", "frps 设置了 transport.tls.trustedCaFile：请启用 transport.tls.enable，并为 frpc 设置由该 CA 签发的 transport.tls.certFile 和 keyFile"],
  ["the server refused the TLS handshake", "服务端拒绝了 TLS 握手"],
  ["the TLS of the server is none that we speak", "服务端的 TLS 不是我们支持的"],
  ["check that the port is the quicBindPort of frps; its log may say more", "请确认该端口是 frps 的 quicBindPort；其日志中可能有更多信息"],
  ["QUIC works, but the server closed the connection on our login", "QUIC 正常，但服务端在我们登录时关闭了连接"],
  ["{} broke the connection off", "{1} 中断了连接"],
  ["check that the port is the quicBindPort of frps; the log of frps may say more", "请确认该端口是 frps 的 quicBindPort；frps 的日志中可能有更多信息"],

  // Somebody else answers.
  ["{} answered our login with {}", "{1} 以 {2} 应答我们的登录"],
  ["port {} belongs to {}: set serverPort to the bindPort of frps", "端口 {1} 属于 {2}：请将 serverPort 设为 frps 的 bindPort"],
  ["wait as long as it says, and see that every frpc at this address has the right auth.token", "请等待所示的时间，并确认该地址上每个 frpc 的 auth.token 都正确"],
  ["a web server or a proxy (or is vhostHTTPPort of frps)", "网页服务器或代理（或 frps 的 vhostHTTPPort）"],
  ["a TLS service, or is vhostHTTPSPort of frps, if it is not frps itself", "TLS 服务，或 frps 的 vhostHTTPSPort（若不是 frps 本身）"],
  ["mux frames", "多路复用的帧"],
  ["transport.tcpMux is false here and true in frps: set both the same", "此处的 transport.tcpMux 为 false，frps 中为 true：请设为相同"],
  ["bytes that are not frp's", "不属于 frp 的数据"],
  ["check that transport.tcpMux is the same on both ends and that the port is the bindPort of frps", "请确认双方的 transport.tcpMux 相同，且该端口是 frps 的 bindPort"],
  ["unknown bytes ({})", "未知数据（{1}）"],
  ["check that port {} is the bindPort of frps and that transport.tcpMux is the same on both ends", "请确认端口 {1} 是 frps 的 bindPort，且双方的 transport.tcpMux 相同"],

  // TLS.
  ["{} accepts connections but does not answer a TLS hello", "{1} 接受连接，但不应答 TLS 握手"],
  ["check that the port is the bindPort of frps; a device on the path may swallow TLS", "请确认该端口是 frps 的 bindPort；途中的设备可能吞掉了 TLS"],
  ["{} acknowledges our bytes over UDP but does not answer a TLS hello", "{1} 确认收到 UDP 数据，但不应答 TLS 握手"],
  ["if frps is older than 0.38, set transport.tls.disableCustomTLSFirstByte = false; else check that the port is the kcpBindPort of frps", "若 frps 早于 0.38，请设置 transport.tls.disableCustomTLSFirstByte = false；否则请确认该端口是 frps 的 kcpBindPort"],
  ["check that the port is the kcpBindPort of frps", "请确认该端口是 frps 的 kcpBindPort"],
  ["either a device on the path rejects TLS to this port, or the port takes no wss: frps of frp ends no TLS around a websocket and needs a proxy before it", "可能是途中的设备拒绝了该端口的 TLS，或该端口不接受 wss：frp 的 frps 不终结 websocket 外层的 TLS，前面需要反向代理"],
  ["either a device on the path rejects TLS to this port, or the port is not bindPort of frps (but its vhostHTTPSPort, perhaps), or frps is older than 0.38 (then set transport.tls.disableCustomTLSFirstByte = false)", "可能是途中的设备拒绝了该端口的 TLS，或该端口不是 frps 的 bindPort（也许是其 vhostHTTPSPort），或 frps 早于 0.38（此时请设置 transport.tls.disableCustomTLSFirstByte = false）"],
  ["we sent frp's own first byte 0x17, which devices on the path may reject: set transport.tls.disableCustomTLSFirstByte = true; or the port is not bindPort of frps (but its vhostHTTPSPort, perhaps)", "我们发送了 frp 特有的首字节 0x17，途中的设备可能会拒绝：请设置 transport.tls.disableCustomTLSFirstByte = true；也可能该端口不是 frps 的 bindPort（也许是其 vhostHTTPSPort）"],
  ["{} closed the connection right after our TLS hello", "{1} 在 TLS 握手开始后立即关闭了连接"],
  ["frps has transport.tls.trustedCaFile set: give frpc transport.tls.certFile and keyFile signed by that CA", "frps 设置了 transport.tls.trustedCaFile：请为 frpc 设置由该 CA 签发的 transport.tls.certFile 和 keyFile"],
  ["{} took us for a user of an https proxy", "{1} 把我们当成了 https 代理的用户"],
  ["where the vhostHTTPSPort of frps is its bindPort, frpc needs transport.tls.disableCustomTLSFirstByte = false", "当 frps 的 vhostHTTPSPort 与 bindPort 相同时，frpc 需要设置 transport.tls.disableCustomTLSFirstByte = false"],
  ["check that the port is the bindPort of frps and that both ends have a common TLS version", "请确认该端口是 frps 的 bindPort，且双方有共同的 TLS 版本"],
  ["{} speaks TLS, but none that we speak", "{1} 使用的 TLS 不是我们支持的"],
  ["check that the port is the bindPort of frps; what stands before it must offer TLS 1.2 or 1.3", "请确认该端口是 frps 的 bindPort；其前面的设备必须支持 TLS 1.2 或 1.3"],
  ["{} answered our TLS hello with {}, not TLS", "{1} 以 {2} 而不是 TLS 应答握手"],
  ["the certificate of the server has expired, or is not valid yet", "服务端的证书已过期或尚未生效"],
  ["check the clock of this machine; if it is right, renew the certificate of the server", "请检查本机时钟；若时钟正确，请更新服务端的证书"],
  ["the certificate of the server is not trusted", "服务端的证书不受信任"],
  ["check transport.tls.trustedCaFile, and that transport.tls.serverName (default: serverAddr) is a name in the certificate; if both are right, somebody is in between", "请检查 transport.tls.trustedCaFile，并确认 transport.tls.serverName（默认为 serverAddr）在证书的名称之中；若两者都正确，则可能有人在中间拦截"],
  ["the CAs of this machine do not vouch for the certificate of the server, or not for its name", "本机的 CA 不为服务端的证书或其名称作保"],
  ["where frps makes its certificate itself, or its CA is your own, set transport.tls.trust = \"first-use\", transport.tls.pin or transport.tls.trustedCaFile instead; else check that transport.tls.serverName (default: serverAddr) is a name in the certificate; if it is, somebody is in between", "若 frps 使用自签名证书或您自己的 CA，请改用 transport.tls.trust = \"first-use\"、transport.tls.pin 或 transport.tls.trustedCaFile；否则请确认 transport.tls.serverName（默认为 serverAddr）在证书的名称之中；若在其中，则可能有人在中间拦截"],
  ["either frps has a new key, or somebody is in between and poses as it", "可能是 frps 换了密钥，也可能有人在中间冒充它"],
  ["compare with what `frps fingerprint` prints on the server: if that is {}, add it to transport.tls.pin; if not, do not", "请与服务端上 `frps fingerprint` 的输出对照：若为 {1}，请将其加入 transport.tls.pin；若不是，请勿加入"],
  ["either frps was set up anew, or makes a new key at each start (it has no transport.tls.keyStore), or somebody is in between and poses as it", "可能是 frps 重新安装过，或每次启动都生成新密钥（未设置 transport.tls.keyStore），也可能有人在中间冒充它"],
  ["compare with what `frps fingerprint` prints on the server: if that is {}, delete {} of {}, or set transport.tls.pin in place of transport.tls.trust; if not, do not", "请与服务端上 `frps fingerprint` 的输出对照：若为 {1}，请删除 {3} 的 {2}，或用 transport.tls.pin 代替 transport.tls.trust；若不是，请勿这样做"],
  ["either a proxy with a certificate of its own stands before frps on this way, or somebody is in between and poses as it", "可能是此途径上 frps 前面有使用自己证书的代理，也可能有人在中间冒充它"],
  ["if that key is the one of your proxy, add a line to {}: {} {}", "若该密钥属于您的代理，请在 {1} 中加一行：{2} {3}"],
  ["the key that it had may have stood there", "它原来的密钥可能就写在那一行"],
  ["mend line {} of {}; or delete it, where that key is what `frps fingerprint` prints on the server", "请修正 {2} 的第 {1} 行；若该密钥就是服务端上 `frps fingerprint` 的输出，也可删除该行"],
  ["the keys that servers had are not known now", "目前无法得知服务端原来的密钥"],
  ["let the user that frpc runs as read and write the file", "请让运行 frpc 的用户能读写该文件"],

  // Websocket.
  ["check that what stands before frps (a proxy, a CDN) passes websockets on", "请确认 frps 前面的代理或 CDN 转发 websocket"],
  ["{} closed the connection on our websocket request", "{1} 收到 websocket 请求后关闭了连接"],
  ["the connection to {} broke on our websocket request", "发出 websocket 请求后与 {1} 的连接中断"],
  ["{} does not answer our websocket request", "{1} 没有应答 websocket 请求"],
  ["check that the port is the bindPort of frps; {}", "请确认该端口是 frps 的 bindPort；{1}"],
  ["{} is no frps", "{1} 不是 frps"],
  ["check serverAddr and serverPort", "请检查 serverAddr 和 serverPort"],
  ["{} answered our websocket request with {}", "{1} 以 {2} 应答 websocket 请求"],
  ["{} answered, but not as a websocket server of ours", "{1} 有应答，但不是 frps 的 websocket 服务"],
  ["frps of frp ends no TLS around a websocket: use a proxy before it, or protocol websocket", "frp 的 frps 不终结 websocket 外层的 TLS：请在其前面使用反向代理，或改用 websocket 协议"],
  ["frps of frp ends no TLS around a websocket: use a proxy before it, or protocol websocket; ", "frp 的 frps 不终结 websocket 外层的 TLS：请在其前面使用反向代理，或改用 websocket 协议；"],
  ["{}check that transport.websocket.path is the same on both ends, and that the port is the bindPort of frps", "{1}请确认双方的 transport.websocket.path 相同，且该端口是 frps 的 bindPort"],
  ["set transport.websocket.headers.Host to the name that it is known by", "请将 transport.websocket.headers.Host 设为对外的域名"],
  ["the server sends us elsewhere", "服务端要求重定向"],
  ["if it wants HTTPS, set transport.protocol = \"wss\" and serverPort = 443", "若它要求 HTTPS，请设置 transport.protocol = \"wss\" 和 serverPort = 443"],
  ["the server does not want our websocket request", "服务端拒绝了 websocket 请求"],
  ["frps or what stands before it demands a header (transport.websocket.headers), or takes no websockets", "frps 或其前面的设备要求某个请求头（transport.websocket.headers），或不接受 websocket"],
  ["the server knows no such path", "服务端没有该路径"],
  ["transport.websocket.path is {} here and must be that of frps; or {}", "此处的 transport.websocket.path 为 {1}，必须与 frps 相同；或者{2}"],
  ["the server does not take our request for a websocket", "服务端不把我们的请求当作 websocket"],
  ["{} (HTTP/1.1, headers Upgrade and Connection)", "{1}（HTTP/1.1，请求头 Upgrade 和 Connection）"],
  ["the server is not responsible for the host", "服务端不负责该主机名"],
  ["what stands before frps does not reach it", "frps 前面的设备无法连接到 frps"],
  ["check that frps runs and that the proxy passes to its bindPort", "请确认 frps 正在运行，且反向代理转发到其 bindPort"],
  ["the server answers with a page", "服务端返回了网页"],
  ["check serverAddr and serverPort; {}", "请检查 serverAddr 和 serverPort；{1}"],

  // Why a proxy does not run.
  ["connect to local service [{}] error: {}", "连接本地服务 [{1}] 出错：{2}"],
  ["another proxy of frps has the port: choose another remotePort, or close that proxy", "该端口已被 frps 的其他代理占用：请换一个 remotePort，或关闭那个代理"],
  ["another program on the server's machine has the port: stop it, or choose another remotePort", "该端口已被服务端机器上的其他程序占用：请停止该程序，或换一个 remotePort"],
  ["allowPorts of frps has no such port: choose one that it has, or have it added there", "frps 的 allowPorts 不含该端口：请选择允许的端口，或请管理员添加"],
  ["all ports of allowPorts are taken: have more added there, or close proxies", "allowPorts 中的端口已用尽：请管理员添加，或关闭一些代理"],
  ["maxPortsPerClient of frps is used up: use fewer ports, or have it raised there", "已达到 frps 的 maxPortsPerClient：请减少端口，或请管理员调高"],
  ["another proxy has this domain with this location: choose another, or put both in one loadBalancer.group", "该域名和路径已被其他代理使用：请另选，或将两者放入同一个 loadBalancer.group"],
  ["use subdomain for names below subDomainHost of frps, and customDomains for others only", "frps 的 subDomainHost 之下的域名请用 subdomain，customDomains 只用于其他域名"],
  ["frps has no subDomainHost: have it set there, or use customDomains", "frps 没有设置 subDomainHost：请管理员设置，或使用 customDomains"],
  ["set customDomains or subdomain", "请设置 customDomains 或 subdomain"],
  ["have vhostHTTPPort set in frps", "请在 frps 中设置 vhostHTTPPort"],
  ["have vhostHTTPSPort set in frps", "请在 frps 中设置 vhostHTTPSPort"],
  ["another client has a proxy of this name: set user of this client, or another name", "其他客户端已有同名代理：请设置此客户端的 user，或换一个名称"],
  ["members of a group need the same port, domain and loadBalancer.groupKey", "同一组的成员必须有相同的端口、域名和 loadBalancer.groupKey"],
  ["the server does not know this type: update it, or use another type", "服务端不支持该类型：请升级服务端，或使用其他类型"],
  ["start the local service, and see that localIP and localPort are where it listens", "请启动本地服务，并确认 localIP 和 localPort 是其监听的地址"],
  ["see that the file that the plugin names is there and can be read", "请确认插件所指的文件存在且可读"],
  ["the health check fails: start the local service, or mend healthCheck of the proxy", "健康检查失败：请启动本地服务，或修正该代理的 healthCheck"],
  ["the log of frps says more", "frps 的日志中有更多信息"],
];

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const all = [...messages, ...problems];
const fixed = new Map(all);
const rules = all.filter(([english]) => english.includes("{}")).map(([english, chinese]) => {
  const parts = english.split("{}");
  return { pattern: new RegExp(`^${parts.map(escaped).join("([^;]*?)")}$`), length: english.length, chinese };
}).sort((a, b) => b.length - a.length);

/** A text that is known as a whole. */
function known(text) {
  if (fixed.has(text)) return fixed.get(text);
  for (const { pattern, chinese } of rules) {
    const found = pattern.exec(text);
    if (found) return chinese.replace(/\{(\d)\}/g, (_, n) => (found[n] === text ? text : inChinese(found[n])));
  }
  return undefined;
}

/** Both sides of each `between` in a text. */
function* sides(text, between) {
  for (let at = text.indexOf(between); at >= 0; at = text.indexOf(between, at + 1)) {
    yield [text.slice(0, at), text.slice(at + between.length)];
  }
}

/** What frpc says, as far as it is known; the rest stays. */
export function inChinese(text) {
  const whole = known(text);
  if (whole !== undefined) return whole;
  // What is wrong; what to do.
  for (const [left, right] of sides(text, "; ")) {
    const advice = known(right);
    if (advice !== undefined) return `${inChinese(left)}；${advice}`;
  }
  // What was seen: why.
  for (const [left, right] of sides(text, ": ")) {
    const why = known(right);
    if (why !== undefined) return `${known(left) ?? left}：${why}`;
  }
  for (const [left, right] of sides(text, "; ")) {
    const first = known(left);
    if (first !== undefined) return `${first}；${inChinese(right)}`;
  }
  return text;
}

/** The text in the language of the page, as far as it is known. */
export function translated(text) {
  return currentLanguage() === "zh" ? inChinese(text) : text;
}

/** Shows it in an element, which says what language it is in. */
export function tell(element, text) {
  const here = translated(text);
  setText(element, shown(here));
  if (here === text) element.lang = "en";
  else element.removeAttribute("lang");
  return element;
}

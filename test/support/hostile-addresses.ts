/** URLs that lead to addresses that are not allowed, in all notations. */

/** Notations of hosts in a URL, by the kind of address that they mean. */
export const HOSTS = {
  "127.0.0.1": `127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7F.1 0x7f.0.0.0x1 017700000001 0177.0.0.1 0177.0.0.01
    0177.1 127.0.0.1. 127.0.0.0x1 00000177.0.0.1 1%32%37.0.0.1 127%2e0%2e0%2e1 127。0。0。1 127．0．0．1 127｡0｡0｡1
    １２７.0.0.1 ①②⑦.0.0.1 ¹²⁷.0.0.1 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟚𝟟.0.0.1 0ｘ7f.1 127\u00ad.0.0.1 127.0.0.1\u200b 127.0.\u20600.1`,
  "loopback and unspecified": `127.0.0.2 127.255.255.254 127.127.127.127 0 0.0.0.0 0x0 0x 00 0.1.2.3 [::1]
    [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1] [::] [::0] localhost LOCALHOST ⓛocalhost`,
  "IPv4 in IPv6": `[::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:1] [0:0:0:0:0:ffff:7f00:0001] [::7f00:1]
    [::127.0.0.1] [0:0:0:0:0:0:127.0.0.1] [::ffff:0:7f00:1] [::ffff:10.0.0.1] [::ffff:a9fe:a9fe] [::ffff:0.0.0.0]
    [::ffff:100.64.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [64:ff9b::8.8.8.8]
    [2002:7f00:1::] [2002:a00:1::1] [2002:0808:0808::] [2001:0:7f00:1::]
    [2001:0:4136:e378:8000:63bf:80ff:fffe] [fe80::5efe:127.0.0.1]`,
  "private and shared": `10.0.0.1 10.255.255.255 0xa000001 012.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1
    192.168.65535 0xc0a80001 100.64.0.1 100.127.255.255 169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376
    169.254.43518 [fd00:ec2::254] [fc00::1] [fe80::1] [febf::1] [fec0::1]`,
  reserved: `192.0.0.1 192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 0xffffffff
    [ff02::1] [2001:db8::1] [3fff::1] [2001:2::1] [2001:3::1] [2001:4:112::1] [2001:10::1] [2001:20::1] [2001:1ff::1]
    [2620:4f:8000::1] [100::1] [5f00::1] [4000::1] [8000::1]`,
  "names of the loopback": `localhost. foo.localhost rebound.example 127.0.0.1.nip.example 127.0.0.1..
    0x7f.1.example xn--hxajbheg2az3al.example 1e9 unix`,
};
/** The same one by one, with the kind of address that they mean. */
export const hosts = Object.entries(HOSTS).flatMap(([kind, list]) =>
  list.split(/\s+/).map((host) => ({ host, kind })),
);

/** Other URLs that mislead a reader or another parser; PORT stands for the port of a receiver. */
export const URLS = [
  ...["http:127.0.0.1:PORT", "http:/127.0.0.1:PORT", "http:\\\\127.0.0.1:PORT", "https:///127.0.0.1:PORT/"],
  ...[
    "HTTP://127.0.0.1:PORT",
    " http://127.0.0.1:PORT",
    "ht\ntp://127.0.0.1:PORT",
    "http://127.0.\t0.1:PORT",
  ],
  ...["http://example.org@127.0.0.1:PORT/", "http://user:secret@127.0.0.1:PORT/", "http://:@127.0.0.1:PORT/"],
  ...[
    "http://127.0.0.1:PORT@example.org/",
    "http://1.1.1.1&@127.0.0.1:PORT#@example.org/",
    "http://@127.0.0.1:PORT",
  ],
  ...[
    "http://127.0.0.1:PORT\\@example.org/",
    "http://example.org\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#.org",
  ],
  ...[
    "http://127.0.0.1:PORT?.example.org",
    "http://127.0.0.1%00.example.org:PORT/",
    "http://[::1%25lo]:PORT/",
  ],
  ...[
    "http://[::1%lo]:PORT/",
    "http://[fe80::1%251]:PORT/",
    "http://[::ffff:127.0.0.1.]:PORT/",
    "http://256.1:PORT/",
  ],
  ...["http://١٢٧.٠.٠.١:PORT/", "http://127.0.0.1:65536/", "http://127.0.0.1:0/", "http://127.0.0.1:22/"],
  ...["http://127.0.0.1:00PORT/", "http://[127.0.0.1]:PORT/", "//127.0.0.1:PORT/", "127.0.0.1:PORT", ""],
  ...[
    "ftp",
    "file",
    "gopher",
    "dict",
    "ldap",
    "sftp",
    "tftp",
    "ws",
    "wss",
    "jar:http",
    "view-source:http",
  ].map((scheme) => `${scheme}://127.0.0.1:PORT/`),
  ...["file:///etc/passwd", "unix:/run/docker.sock:/info", "data:,x", "javascript:fetch(1)", "about:blank"],
];

# Follows in the same script. The line ADDRESS becomes the broker's address and login, so that no password is an argument.
# The broker's greeting and the stream's first and last offset: no other source knows them exactly and at once.
python3 -IS - <<'ASK'
import socket, struct
ADDRESS
ends = {}

def frame(key, body):
    link.sendall(struct.pack(">IHH", len(body) + 4, key, 1) + body)

def take(size):
    data = b""
    while len(data) < size:
        data += link.recv(size - len(data)) or exit("the broker hung up")
    return data

def answer(wanted):
    key = None
    while key != wanted:
        size, key, _ = struct.unpack(">IHH", take(8))
        body = take(size - 4)
        if key == 0x08:
            which, _, _, _, records, _, _, first = struct.unpack(">BbbHIqQQ", body[:33])
            ends[which] = first if which == 1 else first + records - 1
    return body

def ask(key, body):
    frame(key, struct.pack(">I", 1) + body)
    if struct.unpack(">H", answer(key | 0x8000)[4:6]) != (1,):
        exit("the broker said no")

def text(value):
    return struct.pack(">H", len(value.encode())) + value.encode()

link = socket.create_connection((HOST, PORT), 5)
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
ask(0x11, struct.pack(">I", 0))
ask(0x12, b"")
token = f"\0{USER}\0{PASSWORD}".encode()
ask(0x13, text("PLAIN") + struct.pack(">I", len(token)) + token)
frame(0x14, answer(0x14)[:4] + struct.pack(">I", 0))
ask(0x15, text("/"))
for end in (1, 2):
    ask(0x07, struct.pack(">B", end) + text(STREAM) + struct.pack(">HH", end, 1))
while len(ends) < 2:
    answer(0x08)
print("first and last offset:", ends[1], ends[2])
ASK

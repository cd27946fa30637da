import os, subprocess, time
print("hello", time.time(), flush=True)
print(open("/proc/uptime").read(), os.listdir("/dev/"))
t=time.time(); print(subprocess.run(["v4l2-ctl","-d","/dev/video0","--all"],capture_output=True,text=True).stdout[:600], time.time()-t, flush=True)
t=time.time(); print(subprocess.run([os.environ["CROSSPOINT_BIN"],"--help"],capture_output=True,text=True).stdout[:100], time.time()-t)
t=time.time(); print(subprocess.run(["ffmpeg","-version"],capture_output=True,text=True).stdout[:100], time.time()-t)
print("device: all checks passed")
